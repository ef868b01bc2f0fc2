"""The record of runs in MLflow, whose only importer this is.

One experiment holds all runs. The store is SQLite under the home, or ``MLFLOW_TRACKING_URI``.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import logging
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from t4r_lab import homes
from t4r_lab.errors import InputError, did_you_mean
from t4r_lab.report import Epoch
from t4r_lab.spec import RunSpec

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from t4r_lab.data.dataset import Dataset

EXPERIMENT = "t4r-lab"
LOOKS, FOLDER, DATA, REASON = "t4r.test_looks", "t4r.folder", "t4r.dataset_digest", "t4r.reason"
STUDY, TRIAL, PARENT = "t4r.study", "t4r.trial", "mlflow.parentRunId"
BASELINE = "baseline."
PAGE = 1000


def database(home: Path) -> str:
    """The tracking URI: a server where ``MLFLOW_TRACKING_URI`` names one, else SQLite under `home`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}"


@lru_cache(maxsize=8)
def _client(home: Path, uri: str) -> tuple[MlflowClient, str]:
    """A client and the id of the experiment; both are made at the first use."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow import MlflowClient

    local = not os.environ.get("MLFLOW_TRACKING_URI")
    with _only_one(home), _made_whole(home) if local else nullcontext():
        client = cast("MlflowClient", _Client(lambda: MlflowClient(tracking_uri=uri), home, uri))
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return client, experiment.experiment_id
        place = (home / "artifacts").as_uri() if local else None
        kind = {"mlflow.experimentKind": "custom_model_development"}  # else its pages offer tools for chat models first
        return client, client.create_experiment(EXPERIMENT, artifact_location=place, tags=kind)


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Two processes must not both create the tables."""
    with (home / ".mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _made_whole(home: Path) -> Iterator[None]:
    """The database is made in hundreds of steps; one that was left halfway can't be opened, and is made anew."""
    making, path = home / ".mlflow.making", home / "mlflow.db"
    if making.exists():
        path.unlink(missing_ok=True)
    elif not path.exists():
        making.touch()
    yield
    making.unlink(missing_ok=True)


class _Client:
    """An `MlflowClient` whose refusals that the user can mend are said in a line, instead of in SQL."""

    def __init__(self, make: Callable[[], MlflowClient], home: Path, uri: str) -> None:
        self._home, self._uri = home, uri
        self._client = self._told(make)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *args, **named: self._told(lambda: method(*args, **named))

    def _told(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            if words := _refusal(error, self._home, self._uri):
                raise InputError(words) from error
            raise


def _refusal(error: Exception, home: Path, uri: str) -> str | None:
    said = str(error)
    if homes.disk_is_full(error):
        return f"{home}: the disk is full; free some space and try again"
    if "database is locked" in said:
        return f"{home / 'mlflow.db'}: another program keeps it locked; close that and try again"
    if "readonly database" in said or "unable to open database file" in said:
        return f"{home / 'mlflow.db'}: cannot be written; mend its permissions, or set {homes.VARIABLE}"
    if "Max retries exceeded" in said:
        return f"{uri}: no MLflow server answers; start it, or unset MLFLOW_TRACKING_URI"
    return None


def client_of(home: Path) -> tuple[MlflowClient, str]:
    return _client(home, database(home))


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


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


class Record:
    """One run while it is written."""

    def __init__(self, home: Path, run_id: str) -> None:
        self.home, self.run_id = home, run_id
        self._client, _ = client_of(home)

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
        from mlflow.entities import Dataset as Input
        from mlflow.entities import DatasetInput, Param

        if self._client.list_artifacts(self.run_id):
            return
        parameters = [Param(path, str(value)) for path, value in spec.flat().items()]
        source = Input(Path(spec.data.path).name, dataset.digest[:32], "local", str(dataset.path.absolute()))
        self._client.log_batch(self.run_id, params=parameters)
        self._client.log_inputs(self.run_id, [DatasetInput(source)])
        self._client.log_text(self.run_id, spec.to_yaml(), "spec.yaml")  # the last, so that it tells of the others

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self.run_id, metrics=[Metric(k, float(v), now, step) for k, v in values.items()])

    def scores(self, part: str, values: Mapping[str, float], baseline: str | None = None, step: int = 0) -> None:
        """Metrics of a part of the data, of the model or of a baseline."""
        self.metrics({to_key(part, name, baseline): value for name, value in values.items()}, step)

    def artifacts(self, folder: Path) -> None:
        """Everything in `folder`, by its own paths."""
        self._client.log_artifacts(self.run_id, str(folder))

    def text(self, text: str, path: str) -> None:
        """`text` as the artifact `path`."""
        self._client.log_text(self.run_id, text, path)

    def tag(self, key: str, value: str) -> None:
        self._client.set_tag(self.run_id, key, value)

    def look(self) -> int:
        """Count one look at the test part; returns how many there have been."""
        looks = int(self._client.get_run(self.run_id).data.tags.get(LOOKS, "0")) + 1
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
        """The run, new or stopped before, is being trained, with its checkpoints in `folder`."""
        self.reopen()
        self.tag(FOLDER, str(folder.absolute()))


def start(home: Path, spec: RunSpec, dataset: Dataset, folder: Path | None = None) -> Record:
    """Open a run with its parameters, data, seed and commit; `of_folder` finds it by its `folder`."""
    client, experiment = client_of(home)
    tags = {DATA: dataset.digest, "t4r.seed": str(spec.train.seed), LOOKS: "0", "mlflow.source.name": "t4r-lab"}
    if commit := git_commit():
        tags["mlflow.source.git.commit"] = commit
    if folder:
        tags[FOLDER] = str(folder.absolute())
    run = client.create_run(experiment, tags=tags, run_name=spec.name)
    record = Record(home, run.info.run_id)
    try:
        record.describe(spec, dataset)
    except BaseException as error:
        with suppress(Exception):
            record.finish("FAILED", f"{type(error).__name__}: {error}")
        raise
    return record


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


def runs(home: Path) -> list[RunRow]:
    """Every run of the home, newest first; studies and their trials, which keep no model, are none."""
    client, experiment = client_of(home)
    rows: list[RunRow] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment], max_results=PAGE, order_by=["attributes.start_time DESC"], page_token=token
        )
        rows += [_row(run) for run in page if STUDY not in run.data.tags]
        token = page.token
        if not token:
            return rows


def _row(run: Any) -> RunRow:
    parameters, tags, info = run.data.params, run.data.tags, run.info
    scores: dict[str, dict[str, float]] = {"valid": {}, "test": {}}
    baselines: dict[str, dict[str, dict[str, float]]] = {"valid": {}, "test": {}}
    for key, value in run.data.metrics.items():
        if found := from_key(key):
            baseline, part, metric = found
            (baselines[part].setdefault(baseline, {}) if baseline else scores[part])[metric] = value
    started, ended = info.start_time / 1000, (info.end_time or time.time() * 1000) / 1000
    return RunRow(
        info.run_id, info.run_name or info.run_id[:8], info.status, started, ended - started,
        parameters.get("model.body.kind", ""), parameters.get("model.masking.kind", ""),
        parameters.get("data.path", ""), tags.get(DATA, ""), scores["valid"], scores["test"], baselines,
        int(tags.get(LOOKS, "0")), tags.get(REASON, ""),
    )  # fmt: skip


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
    client, experiment = client_of(home)
    path = str(folder.absolute())
    quote = '"' if "'" in path else "'"
    found = client.search_runs([experiment], f"tags.`{FOLDER}` = {quote}{path}{quote}", max_results=1)
    return _row(found[0]) if found else None


def artifacts(home: Path, run_id: str) -> Path:
    """The run's artifacts as a local folder (a copy where the store is a server)."""
    import mlflow.artifacts

    client, _ = client_of(home)
    uri = client.get_run(run_id).info.artifact_uri
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, tracking_uri=database(home)))


def tags(home: Path, run_id: str) -> dict[str, str]:
    found: dict[str, str] = client_of(home)[0].get_run(run_id).data.tags
    return found


def history(home: Path, run_id: str, names: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """(epoch, value) of each recorded name, such as ``train/loss`` or ``epoch.valid/ndcg_at_10``."""
    client, _ = client_of(home)
    # by step, since an epoch in whose midst the process was killed may stand there twice
    return {name: list({m.step: m.value for m in client.get_metric_history(run_id, name)}.items()) for name in names}


def spec(home: Path, row: RunRow) -> RunSpec:
    """The spec that the run was started with."""
    path = artifacts(home, row.run_id) / "spec.yaml"
    if not path.exists():
        raise InputError(f"run {row.name} ({row.status.lower()}) has no spec in its record; choose another run")
    return RunSpec.load(path)


# ── studies ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class TrialRow:
    """A trial that has ended, as it is recorded. `curve` has the metrics of each epoch, by their recorded names."""

    number: int
    status: str
    reason: str
    began: float
    ended: float
    parameters: dict[str, Any]
    metrics: dict[str, float]
    curve: list[dict[str, float]]


def start_study(home: Path, name: str, digest: str, parameters: Mapping[str, Any], storage: str) -> Record:
    """Open the run of a study, under which its trials stand."""
    from mlflow.entities import Param

    client, experiment = client_of(home)
    tags = {STUDY: name, DATA: digest, LOOKS: "0", "t4r.storage": storage, "mlflow.source.name": "t4r-lab"}
    run = client.create_run(experiment, tags=tags, run_name=name)
    client.log_batch(run.info.run_id, params=[Param(key, str(value)[:6000]) for key, value in parameters.items()])
    return Record(home, run.info.run_id)


def recorded_trials(home: Path, parent: str) -> set[int]:
    """Numbers of the trials that have been recorded; those whose writer was killed in the midst are removed."""
    client, experiment = client_of(home)
    found: set[int] = set()
    token = None
    while True:
        page = client.search_runs([experiment], f"tags.`{PARENT}` = '{parent}'", max_results=PAGE, page_token=token)
        for run in page:
            if run.info.status == "RUNNING" and TRIAL in run.data.tags:
                client.delete_run(run.info.run_id)
            elif TRIAL in run.data.tags:
                found.add(int(run.data.tags[TRIAL]))
        token = page.token
        if not token:
            return found


def write_trial(home: Path, parent: str, study: str, row: TrialRow) -> None:
    """Record a trial that has ended as a run under its study's."""
    from mlflow.entities import Metric, Param

    client, experiment = client_of(home)
    tags = {PARENT: parent, STUDY: study, TRIAL: str(row.number), REASON: row.reason[:500]}
    began, ended = int(row.began * 1000), int(row.ended * 1000)
    run = client.create_run(experiment, began, tags, f"{study}-{row.number}")
    metrics = [Metric(key, value, ended, 0) for key, value in row.metrics.items()]
    for epoch, values in enumerate(row.curve, 1):
        metrics += [Metric(key, value, ended, epoch) for key, value in values.items()]
    client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in row.parameters.items()])
    for at in range(0, len(metrics), PAGE):
        client.log_batch(run.info.run_id, metrics=metrics[at : at + PAGE])
    client.set_terminated(run.info.run_id, row.status, ended)


def put_under(home: Path, run_id: str, parent: str) -> None:
    """Show a run under its study's."""
    client_of(home)[0].set_tag(run_id, PARENT, parent)


# ── registry ────────────────────────────────────────────────────────────────────────────────────


def check_alias(alias: str) -> None:
    """Refuse what MLflow doesn't take for an alias."""
    if not re.fullmatch(r"[\w-]{1,255}", alias, re.ASCII) or alias == "latest" or re.fullmatch(r"v\d+", alias):
        raise InputError(
            f"alias: {alias!r} can't be one; use letters, digits, - and _, for example champion (not latest or v1)"
        )


def model_name(row: RunRow) -> str:
    """The registered model that holds the runs on the same data, by the data's name.

    MLflow allows no ``/``, ``:``, ``.``, ``%``, quotes or backslashes in it, and we allow what is left of ASCII.
    """
    return f"t4r-lab-{re.sub(r'[^0-9A-Za-z _-]', '-', Path(row.data).name) or 'data'}"


def register(home: Path, row: RunRow, alias: str) -> tuple[str, str]:
    """Give the run's model a version in the registry, unless it has one, and `alias` to that; (model, version)."""
    from mlflow.exceptions import MlflowException

    client, _ = client_of(home)
    name = model_name(row)
    with suppress(MlflowException):  # it is there already
        client.create_registered_model(name, description="next-item models of T4R Lab on these data")
    own = [v for v in client.search_model_versions(f"run_id = '{row.run_id}'") if v.name == name]
    if own:
        version = str(own[0].version)
    else:
        source = f"{client.get_run(row.run_id).info.artifact_uri}/model"
        version = str(client.create_model_version(name, source, row.run_id).version)
    client.set_registered_model_alias(name, alias, version)
    return name, version


def promoted(home: Path) -> dict[str, list[str]]:
    """Run in the registry → its aliases there, such as ``t4r-lab-shop@champion``; none once others have them."""
    client, _ = client_of(home)
    versions = {(v.name, str(v.version)): str(v.run_id) for v in client.search_model_versions(max_results=PAGE)}
    found: dict[str, list[str]] = {run: [] for run in versions.values()}
    for model in client.search_registered_models() if versions else ():
        for alias, version in model.aliases.items():
            if (run := versions.get((model.name, str(version)))) is not None:
                found[run].append(f"{model.name}@{alias}")
    return found
