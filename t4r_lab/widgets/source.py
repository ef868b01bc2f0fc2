"""What the panels show, read from the house: the only place where the front end calls the floors below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from t4r_lab import jobs, track
from t4r_lab.data.dataset import Dataset
from t4r_lab.spec.prepare import PrepareOptions
from t4r_lab.widgets.train import outcome
from t4r_lab.widgets.views import DataSummary, JobState, RunSummary


def datasets(home: Path) -> list[Path]:
    """Prepared folders of the home, by name."""
    return sorted(p.parent for p in (home / "data").glob("*/manifest.json") if not p.parent.name.startswith("."))


def summarize(path: Path) -> DataSummary:
    """Open prepared data and put it into figures."""
    data = Dataset.open(path)
    profile = data.profile
    lengths = {int(n): count for n, count in profile["lengths"]["histogram"].items()}
    remarks = [f"{key.replace('_', ' ')}: {value:,}" for key, value in profile["left_out"].items() if value]
    remarks += [f"{key.replace('_', ' ')}: {value:.1%}" for key, value in profile["checks"].items() if "cut" not in key]
    return DataSummary(data.path, data.schema, profile["parts"], lengths, tuple(remarks))


def demo(home: Path) -> Path:
    """The built-in data, prepared if need be."""
    from t4r_lab.data.synthetic import demo_dataset

    return demo_dataset(home / "data" / "demo").path


def prepare(home: Path, source: str, name: str, options: dict[str, Any]) -> Path:
    """Prepare a file into the home's data folder."""
    from t4r_lab.data.prepare import prepare as run

    return run(source, home / "data" / name, PrepareOptions.parse(options)).path


def job_states(home: Path) -> list[JobState]:
    """Every job of the home, newest first."""
    return [_job_state(job) for job in jobs.all_jobs(home)]


def _job_state(job: jobs.Job) -> JobState:
    status, spec = job.status(), job.spec()
    stage = status.stage
    if status.state not in jobs.ACTIVE:
        stage = " · ".join(filter(None, [status.state, outcome(status.metrics, status.monitor)]))
    return JobState(
        id=job.id, name=status.name, state=status.state, what=f"{spec.model.body.kind} · {spec.model.masking.kind}",
        stage=stage, done=status.done, total=status.total, unit=status.unit, eta=status.eta, error=status.error,
        monitor=status.monitor, epochs=status.epochs, launched=status.launched,
    )  # fmt: skip


def events(home: Path, id: str, since: int) -> list[dict[str, Any]]:
    return jobs.find(home, id).events(since)


def runs(home: Path) -> list[RunSummary]:
    """Every recorded run, newest first, by its validation metrics."""
    return [
        RunSummary(r.run_id, r.name, r.status, r.started, r.seconds, r.body, r.masking, r.valid, r.baselines["valid"])
        for r in track.runs(home)
    ]
