"""Recorded runs, read from the record."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from t4r_lab.base import homes
from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.spec import RunSpec
from t4r_lab.tracking import record_file
from t4r_lab.tracking.artifacts import Artifacts
from t4r_lab.tracking.client import PAGE, client_of, is_empty, server
from t4r_lab.tracking.names import DATA, HOST, PARENT, REASON, SPEC, STUDY, WARNINGS, from_key, looks_of
from t4r_lab.tracking.record_file import FOLDER
from t4r_lab.tracking.run_record import folder_tags
from t4r_lab.tracking.run_rows import Recorded, of_mlflow, recorded_runs


@dataclass(frozen=True)
class RunRow:
    """One recorded run at a glance."""

    run_id: str
    name: str
    status: str
    started: float
    seconds: float
    body: str
    masking: str
    data: str
    digest: str
    valid: dict[str, float] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    baselines: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """part → baseline → metrics"""
    looks: int = 0
    reason: str = ""
    folder: str = ""
    """of its checkpoints"""
    host: str = ""
    """the machine that it trained on"""
    warnings: dict[str, list[str]] = field(default_factory=dict)
    """train, valid or test → warnings about its metrics"""
    knobs: dict[str, str] = field(default_factory=dict, repr=False)
    """dotted path → value of its spec, as text"""
    tags: dict[str, str] = field(default_factory=dict, repr=False)
    """all, those of MLflow and the Lab too"""

    @property
    def all_warnings(self) -> list[str]:
        """The warnings of all parts."""
        return [words for part in ("train", "valid", "test") for words in self.warnings.get(part, [])]


def runs(home: Path) -> list[RunRow]:
    """Every run of the home, newest first, without studies and their trials, which record no model."""
    if is_empty(home):
        return []
    return [_row(home, run) for run in recorded_runs(home) if STUDY not in run.tags]


def references_to_data(home: Path, digest: str) -> list[tuple[str, str]]:
    """(name, path of its data) of every run and study on the prepared data with that digest, newest first.

    Without a record the list is empty, and no record is created.
    """
    if is_empty(home):
        return []
    client, experiment = client_of(home)
    references: list[tuple[str, str]] = []
    token = None
    while True:
        page = client.search_runs([experiment], f"tags.`{DATA}` = '{digest}'", max_results=PAGE, page_token=token)
        for run in page:
            kind = "study" if STUDY in run.data.tags else "run"
            sources = [entry.dataset.source for entry in (run.inputs.dataset_inputs if run.inputs else ())]
            references.append((f"{kind} {run.info.run_name}", sources[0] if sources else ""))
        token = page.token
        if not token:
            return references


def _row(home: Path, run: Recorded) -> RunRow:
    """The row of a recorded run, whose tags may have been edited in the MLflow UI."""
    parameters, tags = run.params, run.tags
    scores: dict[str, dict[str, float]] = {"valid": {}, "test": {}}
    baselines: dict[str, dict[str, dict[str, float]]] = {"valid": {}, "test": {}}
    for key, value in run.metrics.items():
        if parsed := from_key(key):
            baseline, part, metric = parsed
            (baselines[part].setdefault(baseline, {}) if baseline else scores[part])[metric] = value
    is_running = run.status == "RUNNING" or not run.end  # a resumed run still has its earlier end
    started = run.start / 1000
    ended = time.time() if is_running else run.end / 1000
    folder = str(home / tags[FOLDER]) if tags.get(FOLDER) else ""
    warnings = {k.removeprefix(WARNINGS): v.splitlines() for k, v in tags.items() if k.startswith(WARNINGS) and v}
    return RunRow(
        run.run_id,
        run.name or run.run_id[:8],
        run.status,
        started,
        ended - started,
        parameters.get("model.body.kind", ""),
        parameters.get("model.masking.kind", ""),
        parameters.get("data.path", ""),
        tags.get(DATA, ""),
        scores["valid"],
        scores["test"],
        baselines,
        looks_of(tags),
        tags.get(REASON, ""),
        folder,
        tags.get(HOST, ""),
        warnings,
        parameters,
        tags,
    )


def find(home: Path, run: str) -> RunRow:
    """The run with that id, that beginning of an id (4 characters or more) or, newest first, that name.

    Raises
    ------
    InputError
        if no run matches, naming the nearest, or if several ids begin like that.
    """
    return choose(runs(home), run, home)


def choose(rows: Sequence[RunRow], run: str, home: Path) -> RunRow:
    """The one of `rows`, which are those of `home`, that `run` names; see `find`."""
    exact = [r for r in rows if r.run_id == run] or [r for r in rows if r.name == run]
    if exact:
        return exact[0]
    begin = [r for r in rows if len(run) >= 4 and r.run_id.startswith(run)]
    if len(begin) == 1:
        return begin[0]
    if begin:
        raise InputError(
            f"run {run!r}", f"{len(begin)} ids begin like that", f"give more of it, such as {begin[0].run_id[:12]}"
        )
    if not rows:
        raise InputError(
            f"run {run!r}", f"there are no runs in {home}", "train one with `t4r-lab train`, or set T4R_LAB_HOME"
        )
    names = list(dict.fromkeys(r.name for r in rows))[:20]
    raise InputError(f"run {run!r}", f"no such run in {home}", did_you_mean(run, names))


def run_in_folder(home: Path, folder: Path) -> RunRow | None:
    """The latest run with its checkpoints in `folder`."""
    if is_empty(home):
        return None
    client, experiment = client_of(home)
    for path in dict.fromkeys((folder_tags(home, folder)[FOLDER], str(folder.absolute()))):
        if "'" in path and '"' in path:  # MLflow can't quote it in a search
            continue
        quote = '"' if "'" in path else "'"
        latest = client.search_runs([experiment], f"tags.`{FOLDER}` = {quote}{path}{quote}", max_results=1)
        if latest:
            return _row(home, of_mlflow(latest[0]))
    return None


def artifacts(home: Path, run_id: str) -> Path:
    """The folder of the run's files, for a record in the home."""
    return record_file.artifact_folder(home, run_id)


def tags(home: Path, run_id: str) -> dict[str, str]:
    """All tags of a recorded run."""
    run_tags: dict[str, str] = client_of(home)[0].get_run(run_id).data.tags
    return run_tags


def study_of(home: Path, tags: Mapping[str, str]) -> str:
    """Name of the study that a run with these tags belongs to; empty where it belongs to none."""
    if PARENT not in tags:
        return ""
    try:
        return str(client_of(home)[0].get_run(tags[PARENT]).data.tags.get(STUDY, ""))
    except InputError:
        return ""  # removed from the record


def history(home: Path, run_id: str, names: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """(epoch, value) of each recorded name, such as ``train/loss`` or ``epoch.valid/ndcg_at_10``."""
    client, _ = client_of(home)
    # by step, since an epoch during which the process was killed may be recorded twice
    return {name: list({m.step: m.value for m in client.get_metric_history(run_id, name)}.items()) for name in names}


def spec(home: Path, row: RunRow, files: Artifacts | None = None) -> RunSpec:
    """The spec that the run was started with, with the present path of its data."""
    files = files or Artifacts(home)
    path = files.path(row.run_id, SPEC)
    if not path.exists():
        remedy = f"bring back a copy of {record_file.artifact_root(home)}" if not server() else "choose another run"
        raise InputError(f"run {row.name} ({row.status.lower()})", f"its {SPEC} is not in the record any more", remedy)
    return with_present_data(home, RunSpec.load(path), row.digest)


def with_present_data(home: Path, spec: RunSpec, digest: str) -> RunSpec:
    """`spec` with the path of the data of that digest in the home, which may have been moved or copied with them."""
    for folder in homes.beside(home, spec.data.path):
        if _digest(folder) == digest:
            is_same = os.path.exists(spec.data.path) and os.path.samefile(spec.data.path, folder)
            return spec if is_same else spec.override({"data.path": str(folder)})
    return spec


def _digest(folder: str | Path) -> str | None:
    """The digest in the manifest of prepared data; None if `folder` has none or can't be read."""
    from t4r_lab.data.prepared.folder import read_manifest

    try:
        return read_manifest(Path(folder)).digest
    except (InputError, OSError):  # such as a folder without the right to read it
        return None
