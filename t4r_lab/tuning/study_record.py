"""The record of a study in MLflow: a copy of the trials in the storage.

Only the process that leads a study writes it, so that workers neither import MLflow nor wait for it. Trials that it
missed, when it was killed or the server was unavailable, are recorded by the next leader.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from t4r_lab import tracking
from t4r_lab.base.errors import InputError
from t4r_lab.base.files import scratch
from t4r_lab.base.urls import shown
from t4r_lab.families.knobs import labels
from t4r_lab.tracking import study_runs
from t4r_lab.tuning.studies.study import RECORD, Study, Trial

STATUS = {"finished": "FINISHED", "pruned": "KILLED", "refused": "FAILED", "failed": "FAILED", "lost": "KILLED"}
"""State of a trial that has ended → status of its run."""


def open_record(study: Study, home: Path) -> tracking.Record:
    """The record of the study: its present one, reopened, or a new one."""
    run_id = study.attribute(RECORD)
    if run_id is not None:
        record = tracking.Record(home, run_id)
        record.reopen()
        return record
    plan = study.plan
    parameters = {
        "objectives": ", ".join(plan.objectives),
        "constraints": ", ".join(c.text for c in plan.constraints) or "none",
        "sampler": plan.options.sampler,
        "pruner": plan.options.pruner if plan.prunes else "none",
        "data.path": plan.spec.data.path,
        **{f"search {p}": domain.words for p, domain in plan.space.items()},
    }
    record = study_runs.start_study(
        home, study.name, plan.spec.data.path, study.digest, parameters, shown(study.store.url), _note(study)
    )
    study.set_attribute(RECORD, record.run_id)
    return record


def _note(study: Study) -> str:
    """Objectives, number of knobs and data of a study in one line."""
    plan = study.plan
    return f"{', '.join(plan.objectives)} over {len(plan.space)} knobs on {Path(plan.spec.data.path).name}"


def write_trials(study: Study, record: tracking.Record, trials: list[Trial], recorded: set[int]) -> None:
    """Record the ended trials whose numbers are not in `recorded`, and add these to it."""
    if all(trial.state not in STATUS or trial.number in recorded for trial in trials):
        return
    recorded |= study_runs.recorded_trials(record.home, record.run_id)
    for trial in trials:
        if trial.state in STATUS and trial.number not in recorded:
            study_runs.write_trial(record.home, record.run_id, study.name, study.digest, _row(study, trial))
            recorded.add(trial.number)


def _row(study: Study, trial: Trial) -> study_runs.TrialRow:
    curve = [
        {
            "train/loss": epoch["loss"],
            "train/epoch_seconds": epoch["seconds"],
            **{f"epoch.{tracking.to_key('valid', name)}": value for name, value in epoch["valid"].items()},
        }
        for epoch in trial.epochs
    ]
    try:
        parameters: dict[str, object] = study.spec_of(trial).flat()
    except InputError:  # it fits no model
        parameters = dict(trial.params)
    metrics = {tracking.to_key("valid", name): value for name, value in trial.metrics.items()}
    names = labels(trial.params)
    note = ", ".join(
        f"{names[p]} {v:.3g}" if isinstance(v, float) else f"{names[p]} {v}" for p, v in trial.params.items()
    )
    reason, ended = f"{trial.state}: {trial.reason}".rstrip(": "), trial.began + trial.seconds
    return study_runs.TrialRow(
        trial.number, STATUS[trial.state], reason, note, trial.began, ended, parameters, metrics, curve
    )


def write_summary(study: Study, record: tracking.Record, trials: list[Trial]) -> None:
    """Record the best spec, the table of trials and the figures as artifacts, and the best trial's metrics."""
    from t4r_lab.tuning import study_images, study_page

    front = study.front()
    with scratch(record.home, "recording") as folder:
        (folder / "study.csv").write_text(table(study, trials), encoding="utf-8")
        (folder / "figures.html").write_text(study_page.page(study), encoding="utf-8")
        study_images.draw(study, folder / "figures")
        (folder / "start.yaml").write_text(study.plan.spec.to_yaml(), encoding="utf-8")
        if front:
            (folder / "best.yaml").write_text(study.spec_of(front[0]).to_yaml(), encoding="utf-8")
            record.scores("valid", front[0].metrics)
            record.metrics({"best_trial": front[0].number})
            objectives = ", ".join(f"{name} {value:.4g}" for name, value in front[0].values.items())
            gain = f"; {remark}" if (remark := study.remark()) else ""
            at = f", first at {study.plan.objectives[0]}" if len(front[0].values) > 1 else ""
            words = f"trial {front[0].number} is {study.plan.best_word}{at}: {objectives}{gain}"
            record.tag(tracking.NOTE, f"{_note(study)}; {words}")
        record.artifacts(folder)


def table(study: Study, trials: list[Trial]) -> str:
    """CSV with one row per trial: number, state, reason, seconds, metrics and searched values."""
    metrics = list(dict.fromkeys(name for trial in trials for name in trial.metrics))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["trial", "state", "reason", "feasible", "epochs", "seconds", *metrics, *study.plan.space])
    for t in trials:
        scores = [t.metrics.get(name, "") for name in metrics]
        values = [t.params.get(path, "") for path in study.plan.space]
        writer.writerow([t.number, t.state, t.reason, t.feasible, len(t.epochs), f"{t.seconds:.2f}", *scores, *values])
    return out.getvalue()
