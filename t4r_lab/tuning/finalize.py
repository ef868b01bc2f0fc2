"""The honest end of a study: its best spec and its starting spec, trained anew with several seeds, on the test part."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import OnReport, Remark
from t4r_lab.families.metrics.metric_table import is_paired
from t4r_lab.runs import run
from t4r_lab.runs.compare import Cases, Difference, cases_of, paired_bootstrap
from t4r_lab.runs.progress import reporting
from t4r_lab.spec import RunSpec, best_baseline
from t4r_lab.tracking import study_runs
from t4r_lab.training.experiment import Experiment
from t4r_lab.tuning.studies.leader_lock import leading
from t4r_lab.tuning.studies.open_study import data_of, load
from t4r_lab.tuning.studies.storage import connect
from t4r_lab.tuning.studies.storage_address import address
from t4r_lab.tuning.studies.study import FINAL, Study, Trial
from t4r_lab.tuning.study_record import open_record

TUNED, UNTUNED = "tuned", "untuned"
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""0.975 quantile of Student's t with 1, 2, … degrees of freedom."""
MOST_SEEDS = len(STUDENT) + 1


@dataclass(frozen=True)
class Final:
    """What is known of a study's best spec in the end.

    Attributes
    ----------
    trial: number of the trial whose spec was trained.
    runs: tuned and untuned → the run of each seed.
    test: tuned, untuned and each baseline → metric → mean over the seeds.
    interval: tuned and untuned → metric → half of the 95 % interval of that mean (Student's t); empty for one seed.
    differences: paired bootstraps over the sessions of the test part, all seeds together.
    looks: how often the test part has been looked at to finalize this study.
    warnings: tuned and untuned → what of their runs' figures should be doubted.
    """

    name: str
    run_id: str
    trial: int
    seeds: int
    metric: str
    runs: dict[str, list[str]]
    test: dict[str, dict[str, float]]
    interval: dict[str, dict[str, float]]
    differences: list[Difference]
    looks: int
    warnings: dict[str, list[str]]


def finalize(
    name: str,
    seeds: int = 3,
    trial: int | None = None,
    *,
    home: str | Path | None = None,
    storage: str | None = None,
    on_report: OnReport | None = None,
) -> Final:
    """Train the best spec of a study and the one it started from with several seeds, and score both on the test part.

    What is there already is not trained again, so that an interrupted call goes on, and the same call twice looks at
    the test part once.

    Parameters
    ----------
    seeds
        trainings of each spec, 1 to 10.
    trial
        whose spec is taken; by default the best one at the first objective.

    Raises
    ------
    InputError
        if there is no such study or trial, or nothing has finished.
    """
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError("seeds", f"{seeds} is not possible", f"choose 1 to {MOST_SEEDS}")
    place = homes.ensure(home)
    study = load(name, connect(address(place, storage)).waiting())
    # two at once would look twice, and write one record
    with reporting(on_report) as report, leading(study.store, name, place) as leader:
        leader.begin(study)
        return _finalize(study, place, seeds, trial, report)


def _finalize(study: Study, place: Path, seeds: int, trial: int | None, on_report: OnReport) -> Final:
    chosen = _chosen(study, trial)
    specs = {TUNED: study.spec_of(chosen), UNTUNED: study.plan.spec}
    wanted = [(seed, variant) for seed in range(seeds) for variant in specs]
    there = {(seed, variant): _there(study, place, chosen, variant, seed) for seed, variant in wanted}
    if None in there.values():
        Experiment.open(specs[UNTUNED], data_of(study), place).trying(specs[TUNED])
    record = open_record(study, place)
    if None in there.values():
        record.look()  # before it is made: whoever is killed in its midst may have seen it
    rows: dict[str, list[tracking.RunRow]] = {TUNED: [], UNTUNED: []}
    for seed, variant in wanted:
        row = there[seed, variant]
        if row is None:
            on_report(Remark(f"{variant} spec, seed {seed + 1} of {seeds}"))
            row = _train(study, place, record.run_id, chosen, variant, specs[variant], seed, on_report)
        rows[variant].append(row)
    looks = tracking.looks_of(tracking.tags(place, record.run_id))
    final = _judged(study, place, record.run_id, chosen, rows, looks)
    _write(record, final)
    return final


def _chosen(study: Study, number: int | None) -> Trial:
    """The trial whose spec is final."""
    if number is None:
        front = study.front()
        if not front:
            raise InputError(
                f"study {study.name}", "no trial has finished within the constraints", "go on with it first"
            )
        return front[0]
    for trial in study.trials():
        if trial.number == number and trial.state == "finished":
            return trial
    raise InputError(f"study {study.name}", f"trial {number} has not finished", "choose one of `t4r-lab studies show`")


def _key(chosen: Trial, variant: str, seed: int) -> str:
    return f"{UNTUNED if variant == UNTUNED else f'trial {chosen.number}'}, seed {seed}"


def _there(study: Study, home: Path, chosen: Trial, variant: str, seed: int) -> tracking.RunRow | None:
    """The finished run of a spec and seed, if an earlier call has trained it."""
    run_id = study.attribute(FINAL, {}).get(_key(chosen, variant, seed))
    if run_id is None:
        return None
    row = tracking.find(home, run_id)
    return row if row.status == "FINISHED" and row.test else None


def _train(
    study: Study, home: Path, parent: str, chosen: Trial, variant: str, spec: RunSpec, seed: int, on_report: OnReport
) -> tracking.RunRow:
    named = spec.override({"name": f"{variant}-{seed}-{study.name}", "train.seed": spec.train.seed + seed})
    result = run.run(named, home=home, test=True, on_report=on_report)
    study_runs.put_under(home, result.run_id, parent)
    if result.status != "FINISHED":
        raise KeyboardInterrupt
    study.keep(FINAL, {**study.attribute(FINAL, {}), _key(chosen, variant, seed): result.run_id})
    return tracking.find(home, result.run_id)


def _judged(
    study: Study, home: Path, run_id: str, chosen: Trial, runs: dict[str, list[tracking.RunRow]], looks: int
) -> Final:
    metric = next((o for o in study.plan.objectives if is_paired(o)), study.plan.spec.monitor)
    test, interval = {}, {}
    for variant, rows in runs.items():
        values = {name: [row.test[name] for row in rows] for name in rows[0].test}
        test[variant] = {name: mean(found) for name, found in values.items()}
        interval[variant] = {name: half_interval(found) for name, found in values.items()} if len(rows) > 1 else {}
    baselines = runs[TUNED][0].baselines["test"]
    ours = {variant: _cases(home, rows, "model", metric) for variant, rows in runs.items()}
    pairs = [paired_bootstrap(ours[TUNED], ours[UNTUNED], metric, TUNED, UNTUNED)]
    if (best := best_baseline(baselines, metric)) is not None:
        theirs = _cases(home, runs[TUNED], best, metric)
        pairs += [paired_bootstrap(ours[v], theirs, metric, v, best) for v in (TUNED, UNTUNED)]
    ids = {variant: [row.run_id for row in rows] for variant, rows in runs.items()}
    doubts = {
        v: [words for row in rows for found in row.warnings.values() for words in found] for v, rows in runs.items()
    }
    warnings = {variant: list(dict.fromkeys(found)) for variant, found in doubts.items() if found}
    return Final(
        study.name,
        run_id,
        chosen.number,
        len(runs[TUNED]),
        metric,
        ids,
        {**test, **baselines},
        interval,
        pairs,
        looks,
        warnings,
    )


def half_interval(values: list[float]) -> float:
    """Half of the 95 % interval of the mean of a few values, by Student's t.

    >>> round(half_interval([0.40, 0.41, 0.42]), 4)
    0.0248
    """
    return STUDENT[len(values) - 2] * stdev(values) / float(np.sqrt(len(values)))


def _cases(home: Path, rows: list[tracking.RunRow], name: str, metric: str) -> Cases:
    """The cases of every seed one after another: a session that is drawn again is drawn with all of them."""
    files = tracking.Artifacts(home)
    found: list[Any] = [cases_of(files, row, name, metric, "test") for row in rows]
    return {column: np.concatenate([cases[column] for cases in found]) for column in found[0]}


def _write(record: tracking.Record, final: Final) -> None:
    for label, metrics in final.test.items():
        record.metrics({f"final.{label}/{tracking.to_key('test', name)}": value for name, value in metrics.items()})
    content = {**asdict(final), "sentences": [d.sentence for d in final.differences]}
    record.text(json.dumps(content, indent=1) + "\n", "final.json")
    record.finish("FINISHED", "finalized")
