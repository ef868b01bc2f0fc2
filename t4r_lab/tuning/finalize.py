"""The evaluation of a study on the test part: its best and its starting spec, trained again with several seeds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import OnReport, Remark
from t4r_lab.families.metrics.metric_table import is_paired
from t4r_lab.runs import run
from t4r_lab.runs.compare import cases_of
from t4r_lab.runs.compared.differences import Cases, Difference, paired_bootstrap
from t4r_lab.runs.compared.seed_means import half_interval
from t4r_lab.runs.progress import reporting
from t4r_lab.spec import RunSpec, best_baseline
from t4r_lab.tracking import study_runs
from t4r_lab.training.experiment import Experiment
from t4r_lab.tuning.studies.leader_lock import leading
from t4r_lab.tuning.studies.open_study import data_of, load
from t4r_lab.tuning.studies.storage import connect
from t4r_lab.tuning.studies.storage_address import address
from t4r_lab.tuning.studies.study import FINAL, START_IS_BEST, Study, Trial
from t4r_lab.tuning.study_record import open_record

TUNED, UNTUNED = "tuned", "untuned"
MOST_SEEDS = 10


@dataclass(frozen=True)
class Final:
    """The final evaluation of a study's best spec on the test part.

    Attributes
    ----------
    trial: number of the trial whose spec was trained.
    runs: tuned and untuned → the run of each seed.
    test: tuned, untuned and each baseline → metric → mean over the seeds.
    interval: tuned and untuned → metric → half of the 95 % interval of that mean (Student's t); empty for one seed.
    differences: paired bootstraps over the sessions of the test part, all seeds together.
    looks: how often the test part has been looked at to finalize this study.
    warnings: tuned and untuned → the warnings about the figures of their runs.
    remark: said where the best spec is the starting one: it is trained once, and both names have its runs.
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
    remark: str = ""


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

    Finished runs are not trained again: an interrupted call continues, and a repeated one looks at the test part once.

    Parameters
    ----------
    seeds
        trainings of each spec, 1 to 10.
    trial
        number of the trial whose spec is taken; by default the best one at the first objective.

    Raises
    ------
    InputError
        if there is no such study or trial, or nothing has finished.
    """
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError("seeds", f"{seeds} is not possible", f"choose 1 to {MOST_SEEDS}")
    home_path = homes.ensure(home)
    study = load(name, connect(address(home_path, storage)).waiting())
    # two at once would look at the test part twice, and write one record
    with reporting(on_report) as report, leading(study.store, name, home_path) as leader:
        leader.begin(study)
        return _finalize(study, home_path, seeds, trial, report)


def _finalize(study: Study, home: Path, seeds: int, trial: int | None, on_report: OnReport) -> Final:
    chosen = _chosen(study, trial)
    specs = {TUNED: study.spec_of(chosen), UNTUNED: study.plan.spec}
    remark = _remark(study, chosen) if specs[TUNED] == specs[UNTUNED] else ""
    variants = [UNTUNED] if remark else [TUNED, UNTUNED]
    pairs = [(seed, variant) for seed in range(seeds) for variant in variants]
    finished = {(seed, variant): _finished_run(study, home, chosen, variant, seed) for seed, variant in pairs}
    if None in finished.values():
        Experiment.open(specs[UNTUNED], data_of(study), home).with_spec(specs[TUNED])
    record = open_record(study, home)
    if None in finished.values():
        record.look()  # counted before the look: a process killed during it may have seen the test part
    rows: dict[str, list[tracking.RunRow]] = {variant: [] for variant in variants}
    for seed, variant in pairs:
        row = finished[seed, variant]
        if row is None:
            on_report(Remark(f"{variant} spec, seed {seed + 1} of {seeds}"))
            row = _train(study, home, record.run_id, chosen, variant, specs[variant], seed, on_report)
        rows[variant].append(row)
    looks = tracking.looks_of(tracking.tags(home, record.run_id))
    both = {TUNED: rows[variants[0]], UNTUNED: rows[UNTUNED]}
    final = _final(study, home, record.run_id, chosen, both, looks, remark)
    _write(record, final)
    return final


def _chosen(study: Study, number: int | None) -> Trial:
    """The trial whose spec is final."""
    if number is None:
        front = study.front()
        if not front:
            raise InputError(f"study {study.name}", "no trial has finished within the constraints", "continue it first")
        return front[0]
    for trial in study.trials():
        if trial.number == number and trial.state == "finished":
            return trial
    raise InputError(f"study {study.name}", f"trial {number} has not finished", "choose one of `t4r-lab studies show`")


def _remark(study: Study, chosen: Trial) -> str:
    """What to say of a `chosen` trial whose spec is the starting one."""
    if chosen.number == study.front()[0].number:
        return START_IS_BEST
    return f"trial {chosen.number} has the starting spec itself, which is trained once"


def _key(chosen: Trial, variant: str, seed: int) -> str:
    return f"{UNTUNED if variant == UNTUNED else f'trial {chosen.number}'}, seed {seed}"


def _finished_run(study: Study, home: Path, chosen: Trial, variant: str, seed: int) -> tracking.RunRow | None:
    """The run of a spec and seed that an earlier call has finished; None without one."""
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
    study_runs.set_parent(home, result.run_id, parent)
    if result.status != "FINISHED":
        raise KeyboardInterrupt
    study.set_attribute(FINAL, {**study.attribute(FINAL, {}), _key(chosen, variant, seed): result.run_id})
    return tracking.find(home, result.run_id)


def _final(
    study: Study,
    home: Path,
    run_id: str,
    chosen: Trial,
    runs: dict[str, list[tracking.RunRow]],
    looks: int,
    remark: str,
) -> Final:
    metric = next((o for o in study.plan.objectives if is_paired(o)), study.plan.spec.monitor)
    test, interval = {}, {}
    for variant, rows in runs.items():
        values = {name: [row.test[name] for row in rows] for name in rows[0].test}
        test[variant] = {name: mean(by_seed) for name, by_seed in values.items()}
        interval[variant] = {name: half_interval(by_seed) for name, by_seed in values.items()} if len(rows) > 1 else {}
    baselines = runs[TUNED][0].baselines["test"]
    cases = {variant: _cases(home, rows, "model", metric) for variant, rows in runs.items()}
    compared = [UNTUNED] if remark else [TUNED, UNTUNED]
    differences = [] if remark else [paired_bootstrap(cases[TUNED], cases[UNTUNED], metric, TUNED, UNTUNED)]
    if (best := best_baseline(baselines, metric)) is not None:
        baseline_cases = _cases(home, runs[TUNED], best, metric)
        differences += [paired_bootstrap(cases[v], baseline_cases, metric, v, best) for v in compared]
    ids = {variant: [row.run_id for row in rows] for variant, rows in runs.items()}
    repeated = {
        v: [words for row in rows for several in row.warnings.values() for words in several] for v, rows in runs.items()
    }
    warnings = {variant: list(dict.fromkeys(several)) for variant, several in repeated.items() if several}
    return Final(
        study.name,
        run_id,
        chosen.number,
        len(runs[TUNED]),
        metric,
        ids,
        {**test, **baselines},
        interval,
        differences,
        looks,
        warnings,
        remark,
    )


def _cases(home: Path, rows: list[tracking.RunRow], name: str, metric: str) -> Cases:
    """The cases of all seeds, concatenated: a bootstrap that draws a session draws it with every seed."""
    files = tracking.Artifacts(home)
    parts: list[Any] = [cases_of(files, row, name, metric, "test") for row in rows]
    return {column: np.concatenate([cases[column] for cases in parts]) for column in parts[0]}


def _write(record: tracking.Record, final: Final) -> None:
    for label, metrics in final.test.items():
        record.metrics({f"final.{label}/{tracking.to_key('test', name)}": value for name, value in metrics.items()})
    content = {**asdict(final), "sentences": [d.sentence for d in final.differences]}
    record.text(json.dumps(content, indent=1) + "\n", "final.json")
    record.finish("FINISHED", "finalized")
