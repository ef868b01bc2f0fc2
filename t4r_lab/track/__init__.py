"""The record of runs in MLflow, whose only importer this is. One experiment holds all runs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t4r_lab import homes
from t4r_lab.errors import InputError, did_you_mean
from t4r_lab.report import Epoch
from t4r_lab.spec import RunSpec
from t4r_lab.track import local
from t4r_lab.track.artifacts import Artifacts, put
from t4r_lab.track.client import EXPERIMENT, PAGE, client_of, database, gone, is_empty, server, writer_of
from t4r_lab.track.local import FOLDER
from t4r_lab.track.registry import FOR_WHOM, check_alias, model_name, promoted, register

if TYPE_CHECKING:
    from t4r_lab.data.dataset import Dataset

__all__ = [
    "EXPERIMENT", "FOLDER", "FOR_WHOM", "SPEC", "Artifacts", "Record", "RunRow", "artifacts", "check_alias",
    "client_of", "database", "end", "environment", "find", "from_key", "gone", "history", "looks_of", "model_name",
    "of_data", "of_folder", "promoted", "register", "runs", "server", "spec", "start", "tags", "to_key",
]  # fmt: skip
LOOKS, DATA, REASON, HOST = "t4r.test_looks", "t4r.dataset_digest", "t4r.reason", "t4r.host"
WARNINGS = "t4r.warnings."
"""Before the part that they are of: train, valid or test."""
STUDY = "t4r.study"
"""On the runs of a study and its trials, which `t4r_lab.track.studies` writes: they aren't runs of the Lab."""
NOTE = "mlflow.note.content"
"""What MLflow's pages show as the description of a run."""
SPEC = "spec.yaml"
BASELINE = "baseline."


# ── names: MLflow allows no @ ───────────────────────────────────────────────────────────────────


def to_key(part: str, metric: str, baseline: str | None = None) -> str:
    """Name of a metric in the record.

    >>> to_key("valid", "ndcg@10"), to_key("valid", "ndcg@10", "popularity")
    ('valid/ndcg_at_10', 'baseline.popularity/valid/ndcg_at_10')
    """
    prefix = f"{BASELINE}{baseline}/" if baseline else ""
    return f"{prefix}{part}/{metric.replace('@', '_at_')}"


def from_key(key: str) -> tuple[str | None, str, str] | None:
    """(baseline or None, part, metric) of a recorded name; None for anything else.

    >>> from_key("baseline.popularity/valid/ndcg_at_10")
    ('popularity', 'valid', 'ndcg@10')
    >>> from_key("valid/purchase/auc")
    (None, 'valid', 'purchase/auc')
    """
    baseline = None
    if key.startswith(BASELINE):
        baseline, _, key = key.removeprefix(BASELINE).partition("/")
    part, _, metric = key.partition("/")
    return (baseline, part, re.sub(r"_at_(\d+)$", r"@\1", metric)) if part in ("valid", "test") and metric else None


def data_input(path: str | Path, digest: str) -> Any:
    """Prepared data as MLflow's pages show them beside a run."""
    from mlflow.entities import Dataset, DatasetInput

    return DatasetInput(Dataset(Path(path).name, digest[:32], "local", str(Path(path).absolute())))


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


class Record:
    """One run while it is written."""

    def __init__(self, home: Path, run_id: str) -> None:
        self.home, self.run_id = home, run_id
        self._client, _ = writer_of(home)

    def epoch(self, report: Epoch) -> None:
        """The figures of one epoch in one write: the curve, and as the run's own metrics those of the best epoch."""
        values = {f"epoch.{to_key('valid', name)}": value for name, value in report.valid.items()}
        if report.best:
            values |= {to_key("valid", name): value for name, value in report.valid.items()}
        values |= {
            "train/loss": report.train_loss,
            "train/learning_rate": report.learning_rate,
            "train/epoch_seconds": report.seconds,
            "train/skipped_sessions": report.skipped,
            **{f"train/loss.{name}": value for name, value in report.losses.items()},
        }
        self.metrics(values, report.epoch)

    def describe(self, spec: RunSpec, dataset: Dataset) -> None:
        """Parameters, data and spec; no more than once."""
        from mlflow.entities import Param

        files = Artifacts(self.home)
        if files.path(self.run_id, SPEC).exists():
            return
        parameters = [Param(path, str(value)) for path, value in spec.flat().items()]
        self._client.log_batch(self.run_id, params=parameters)
        self._client.log_inputs(self.run_id, [data_input(spec.data.path, dataset.digest)])
        self.text(spec.to_yaml(), SPEC)  # the last, so that it tells of the others

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self.run_id, metrics=[Metric(k, float(v), now, step) for k, v in values.items()])

    def scores(self, part: str, values: Mapping[str, float], baseline: str | None = None, step: int = 0) -> None:
        """Metrics of a part of the data, of the model or of a baseline."""
        self.metrics({to_key(part, name, baseline): value for name, value in values.items()}, step)

    def artifacts(self, folder: Path) -> None:
        """Everything in `folder`, by its own paths."""
        put(self.home, self.run_id, folder)

    def text(self, text: str, path: str) -> None:
        """`text` as the artifact `path`."""
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            put(self.home, self.run_id, Path(scratch))

    def tag(self, key: str, value: str) -> None:
        self._client.set_tag(self.run_id, key, value)

    def warn(self, part: str, warnings: Sequence[str]) -> None:
        """Keep what `t4r_lab.sanity` found about a part, in place of what stood there."""
        if warnings or WARNINGS + part in self._client.get_run(self.run_id).data.tags:
            self.tag(WARNINGS + part, "\n".join(warnings))

    def look(self) -> int:
        """Count one look at the test part; returns how many there have been."""
        looks = looks_of(self._client.get_run(self.run_id).data.tags) + 1
        self.tag(LOOKS, str(looks))
        return looks

    def finish(self, status: str, reason: str) -> None:
        """`status` is FINISHED, KILLED (stopped; can be resumed) or FAILED."""
        self.tag(REASON, reason[:500])
        self._client.set_terminated(self.run_id, status)

    def reopen(self) -> None:
        """The run goes on, whatever it ended as."""
        self._client.update_run(self.run_id, status="RUNNING")

    def begin(self, folder: Path) -> None:
        """The run, which had been stopped or lost, goes on with its checkpoints in `folder`."""
        self.reopen()
        for key, value in _place(self.home, folder).items():
            self.tag(key, value)


def start(home: Path, spec: RunSpec, dataset: Dataset, folder: Path | None = None) -> Record:
    """Open a run with its parameters, data, seed and commit; `of_folder` finds it by its `folder`."""
    client, experiment = writer_of(home)
    tags = {DATA: dataset.digest, "t4r.seed": str(spec.train.seed), LOOKS: "0", "mlflow.source.name": "t4r-lab"}
    tags[NOTE] = f"{spec.model.body.kind} · {spec.model.masking.kind} on {Path(spec.data.path).name}"
    if commit := git_commit():
        tags["mlflow.source.git.commit"] = commit
    if folder:
        tags |= _place(home, folder)
    run = client.create_run(experiment, tags=tags, run_name=spec.name)
    record = Record(home, run.info.run_id)
    try:
        record.describe(spec, dataset)
    except BaseException as error:
        with suppress(Exception):
            record.finish("FAILED", f"{type(error).__name__}: {error}")
        raise
    return record


def _place(home: Path, folder: Path) -> dict[str, str]:
    """The tags that say where a run trains: its folder, as one below the home where it is, and the machine."""
    path = folder.absolute()
    return {FOLDER: str(path.relative_to(home) if path.is_relative_to(home) else path), HOST: homes.host()}


def end(home: Path, run_id: str, status: str, reason: str) -> bool:
    """End a run from outside, unless it has ended; whether that was so. Doesn't wait for a record that is away."""
    client, _ = client_of(home)
    if client.get_run(run_id).info.status != "RUNNING":
        return False
    client.set_tag(run_id, REASON, reason)
    client.set_terminated(run_id, status)
    return True


def git_commit() -> str | None:
    """The commit of the working directory, where it is one."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def environment() -> str:
    """Python, platform and the version of every installed package, one a line."""
    packages = sorted(
        {f"{d.metadata['Name']}=={d.version}" for d in importlib.metadata.distributions() if d.metadata["Name"]}
    )
    return "\n".join([f"# Python {sys.version.split()[0]} on {platform.platform()}", *packages]) + "\n"


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


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
    """the machine that it trained on; unknown of earlier versions"""
    warnings: dict[str, list[str]] = field(default_factory=dict)
    """train, valid or test → what the user should doubt"""

    @property
    def doubts(self) -> list[str]:
        """The warnings of all parts."""
        return [words for part in ("train", "valid", "test") for words in self.warnings.get(part, [])]


def runs(home: Path) -> list[RunRow]:
    """Every run of the home, newest first; studies and their trials, which keep no model, are none."""
    if is_empty(home):
        return []
    client, experiment = client_of(home)
    rows: list[RunRow] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment], max_results=PAGE, order_by=["attributes.start_time DESC"], page_token=token
        )
        rows += [_row(home, run) for run in page if STUDY not in run.data.tags]
        token = page.token
        if not token:
            return rows


def of_data(home: Path, digest: str) -> list[tuple[str, str]]:
    """Every run and study on the prepared data with that digest, newest first: its name, and where the data were.

    Nothing is read, or made for it, where nothing was ever recorded.
    """
    if is_empty(home):
        return []
    client, experiment = client_of(home)
    found: list[tuple[str, str]] = []
    token = None
    while True:
        page = client.search_runs([experiment], f"tags.`{DATA}` = '{digest}'", max_results=PAGE, page_token=token)
        for run in page:
            what = "study" if STUDY in run.data.tags else "run"
            places = [given.dataset.source for given in (run.inputs.dataset_inputs if run.inputs else ())]
            found.append((f"{what} {run.info.run_name}", places[0] if places else ""))
        token = page.token
        if not token:
            return found


def _row(home: Path, run: Any) -> RunRow:
    """What can be read of a run, whose tags anyone may edit in MLflow's pages."""
    parameters, tags, info = run.data.params, run.data.tags, run.info
    scores: dict[str, dict[str, float]] = {"valid": {}, "test": {}}
    baselines: dict[str, dict[str, dict[str, float]]] = {"valid": {}, "test": {}}
    for key, value in run.data.metrics.items():
        if found := from_key(key):
            baseline, part, metric = found
            (baselines[part].setdefault(baseline, {}) if baseline else scores[part])[metric] = value
    going = info.status == "RUNNING" or not info.end_time  # a run that was resumed still has the end it had
    started = (info.start_time or 0) / 1000
    ended = time.time() if going else info.end_time / 1000
    folder = str(home / tags[FOLDER]) if tags.get(FOLDER) else ""
    warnings = {k.removeprefix(WARNINGS): v.splitlines() for k, v in tags.items() if k.startswith(WARNINGS) and v}
    return RunRow(
        info.run_id, info.run_name or info.run_id[:8], info.status, started, ended - started,
        parameters.get("model.body.kind", ""), parameters.get("model.masking.kind", ""),
        parameters.get("data.path", ""), tags.get(DATA, ""), scores["valid"], scores["test"], baselines,
        looks_of(tags), tags.get(REASON, ""), folder, tags.get(HOST, ""), warnings,
    )  # fmt: skip


def looks_of(tags: Mapping[str, str]) -> int:
    """How often the test part was looked at."""
    text = tags.get(LOOKS, "")
    return int(text) if text.isdecimal() else 0


def find(home: Path, run: str) -> RunRow:
    """The run with that id, that beginning of an id (4 characters or more) or, newest first, that name.

    Raises
    ------
    InputError
        if there is none, naming the nearest, or if the beginning is that of several.
    """
    rows = runs(home)
    exact = [r for r in rows if r.run_id == run] or [r for r in rows if r.name == run]
    if exact:
        return exact[0]
    begin = [r for r in rows if len(run) >= 4 and r.run_id.startswith(run)]
    if len(begin) == 1:
        return begin[0]
    if begin:
        raise InputError(
            f"run {run!r}: {len(begin)} ids begin like that; give more of it, such as {begin[0].run_id[:12]}"
        )
    if not rows:
        raise InputError(
            f"run {run!r}: there are no runs in {home}; train one with `t4r-lab train`, or set T4R_LAB_HOME"
        )
    names = list(dict.fromkeys(r.name for r in rows))[:20]
    raise InputError(f"run {run!r}: no such run in {home}; {did_you_mean(run, names)}")


def of_folder(home: Path, folder: Path) -> RunRow | None:
    """The latest run with its checkpoints in `folder`."""
    if is_empty(home):
        return None
    client, experiment = client_of(home)
    for path in dict.fromkeys((_place(home, folder)[FOLDER], str(folder.absolute()))):  # as now, as of earlier versions
        if "'" in path and '"' in path:  # MLflow can't search for it
            continue
        quote = '"' if "'" in path else "'"
        found = client.search_runs([experiment], f"tags.`{FOLDER}` = {quote}{path}{quote}", max_results=1)
        if found:
            return _row(home, found[0])
    return None


def artifacts(home: Path, run_id: str) -> Path:
    """The folder of the run's files, where the record is one of this machine."""
    return local.artifact_folder(home, run_id)


def tags(home: Path, run_id: str) -> dict[str, str]:
    found: dict[str, str] = client_of(home)[0].get_run(run_id).data.tags
    return found


def history(home: Path, run_id: str, names: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """(epoch, value) of each recorded name, such as ``train/loss`` or ``epoch.valid/ndcg_at_10``."""
    client, _ = client_of(home)
    # by step, since an epoch in whose midst the process was killed may stand there twice
    return {name: list({m.step: m.value for m in client.get_metric_history(run_id, name)}.items()) for name in names}


def spec(home: Path, row: RunRow, files: Artifacts | None = None) -> RunSpec:
    """The spec that the run was started with, on its data, wherever these lie now."""
    files = files or Artifacts(home)
    path = files.path(row.run_id, SPEC)
    if not path.exists():
        how = f"bring back a copy of {local.artifact_root(home)}" if not server() else "choose another run"
        raise InputError(f"run {row.name} ({row.status.lower()}): its {SPEC} is not in the record any more; {how}")
    return on_its_data(home, RunSpec.load(path), row.digest)


def on_its_data(home: Path, spec: RunSpec, digest: str) -> RunSpec:
    """`spec` with the data of that digest where they lie in the home, which may have been moved or copied with them."""
    for place in homes.beside(home, spec.data.path):
        if _digest(place) == digest:
            same = os.path.exists(spec.data.path) and os.path.samefile(spec.data.path, place)
            return spec if same else spec.override({"data.path": str(place)})
    return spec


def _digest(folder: str | Path) -> str | None:
    """What prepared data say of themselves; None where there are none."""
    from t4r_lab.data.write import read_manifest

    try:
        return read_manifest(Path(folder)).digest
    except (InputError, OSError):  # such as a place that may not be looked at
        return None
