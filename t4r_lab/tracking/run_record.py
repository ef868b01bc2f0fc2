"""The record of a run, for writing."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab.base import homes
from t4r_lab.base.reports import Epoch
from t4r_lab.spec import RunSpec
from t4r_lab.tracking.artifacts import Artifacts, put
from t4r_lab.tracking.client import client_of, writer_of
from t4r_lab.tracking.names import DATA, HOST, LOOKS, NOTE, REASON, SPEC, WARNINGS, looks_of, to_key
from t4r_lab.tracking.record_file import FOLDER

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

    from t4r_lab.data.prepared.prepared_data import Dataset


def data_input(path: str | Path, digest: str) -> DatasetInput:
    """Prepared data as an MLflow dataset, which its pages show beside a run."""
    from mlflow.entities import Dataset, DatasetInput

    return DatasetInput(Dataset(Path(path).name, digest[:32], "local", str(Path(path).absolute())))


class Record:
    """Write access to the record of one run."""

    def __init__(self, home: Path, run_id: str) -> None:
        self.home, self.run_id = home, run_id
        self._client, _ = writer_of(home)

    def epoch(self, report: Epoch) -> None:
        """Record the metrics of an epoch in one write: of the curve and, for the best epoch, of the run."""
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
        """Record parameters, data and spec, unless they are recorded."""
        from mlflow.entities import Param

        files = Artifacts(self.home)
        if files.path(self.run_id, SPEC).exists():
            return
        parameters = [Param(path, str(value)) for path, value in spec.flat().items()]
        self._client.log_batch(self.run_id, params=parameters)
        self._client.log_inputs(self.run_id, [data_input(spec.data.path, dataset.digest)])
        self.text(spec.to_yaml(), SPEC)  # last, as the sign that the others are recorded

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record metrics at a step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self.run_id, metrics=[Metric(k, float(v), now, step) for k, v in values.items()])

    def scores(self, part: str, values: Mapping[str, float], baseline: str | None = None, step: int = 0) -> None:
        """Record metrics of the model or of a baseline on a part of the data."""
        self.metrics({to_key(part, name, baseline): value for name, value in values.items()}, step)

    def artifacts(self, folder: Path) -> None:
        """Record the contents of `folder` as artifacts, under the same relative paths."""
        put(self.home, self.run_id, folder)

    def text(self, text: str, path: str) -> None:
        """Record `text` as the artifact `path`."""
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            put(self.home, self.run_id, Path(scratch))

    def tag(self, key: str, value: str) -> None:
        """Set a tag of the run."""
        self._client.set_tag(self.run_id, key, value)

    def warn(self, part: str, warnings: Sequence[str]) -> None:
        """Record the warnings of `t4r_lab.runs.quality_warnings` about a part, replacing earlier ones."""
        if warnings or WARNINGS + part in self._client.get_run(self.run_id).data.tags:
            self.tag(WARNINGS + part, "\n".join(warnings))

    def look(self) -> int:
        """Count one look at the test part; returns the number of looks."""
        looks = looks_of(self._client.get_run(self.run_id).data.tags) + 1
        self.tag(LOOKS, str(looks))
        return looks

    def finish(self, status: str, reason: str) -> None:
        """End the run as FINISHED, KILLED (stopped; can be resumed) or FAILED."""
        self.tag(REASON, reason[:500])
        self._client.set_terminated(self.run_id, status)

    def reopen(self) -> None:
        """Mark the run as RUNNING again, whatever its status."""
        self._client.update_run(self.run_id, status="RUNNING")

    def begin(self, folder: Path) -> None:
        """Mark a stopped or lost run as RUNNING again, with its checkpoints in `folder`."""
        self.reopen()
        for key, value in folder_tags(self.home, folder).items():
            self.tag(key, value)


def start(home: Path, spec: RunSpec, dataset: Dataset, folder: Path | None = None) -> Record:
    """Open a run with its parameters, data, seed and commit, and the `folder` by which `run_in_folder` finds it."""
    client, experiment = writer_of(home)
    tags = {DATA: dataset.digest, "t4r.seed": str(spec.train.seed), LOOKS: "0", "mlflow.source.name": "t4r-lab"}
    tags[NOTE] = f"{spec.model.body.kind} · {spec.model.masking.kind} on {Path(spec.data.path).name}"
    if commit := git_commit():
        tags["mlflow.source.git.commit"] = commit
    if folder:
        tags |= folder_tags(home, folder)
    run = client.create_run(experiment, tags=tags, run_name=spec.name)
    record = Record(home, run.info.run_id)
    try:
        record.describe(spec, dataset)
    except BaseException as error:
        with suppress(Exception):
            record.finish("FAILED", f"{type(error).__name__}: {error}")
        raise
    return record


def folder_tags(home: Path, folder: Path) -> dict[str, str]:
    """Tags of a run's folder, relative to the home if it lies below it, and of its machine."""
    path = folder.absolute()
    return {FOLDER: str(path.relative_to(home) if path.is_relative_to(home) else path), HOST: homes.host()}


def end(home: Path, run_id: str, status: str, reason: str) -> bool:
    """End a run of another process; False if it had ended. Doesn't wait for an unreachable record."""
    client, _ = client_of(home)
    if client.get_run(run_id).info.status != "RUNNING":
        return False
    client.set_tag(run_id, REASON, reason)
    client.set_terminated(run_id, status)
    return True


def git_commit() -> str | None:
    """The git commit of the working directory; None outside a repository."""
    try:
        result = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None


def environment() -> str:
    """Python, platform and the version of every installed package, one per line."""
    metadata = [package.metadata for package in importlib.metadata.distributions()]  # each access parses it again
    packages = sorted({f"{m['Name']}=={m['Version']}" for m in metadata if m["Name"]})
    return "\n".join([f"# Python {sys.version.split()[0]} on {platform.platform()}", *packages]) + "\n"
