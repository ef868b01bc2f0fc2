"""Lead a study: begin or continue it, start workers on this machine, watch them, record it and return its result."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean

from t4r_lab import tracking
from t4r_lab.base import homes, processors, retries
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import OnReport, Progress, Remark, Started, TrialEnded
from t4r_lab.base.urls import shown
from t4r_lab.families.custom import refuse_notebook
from t4r_lab.runs import processes
from t4r_lab.runs.progress import reporting
from t4r_lab.spec import RunSpec
from t4r_lab.spec.study_options import Plan, StudyOptions, time_words
from t4r_lab.training.experiment import Experiment
from t4r_lab.tuning import study_record as recording
from t4r_lab.tuning.studies.leader_lock import Leader, leading, mark_if_dead
from t4r_lab.tuning.studies.open_study import all_names, begin, load
from t4r_lab.tuning.studies.storage import connect, connect_to_read
from t4r_lab.tuning.studies.storage_address import address
from t4r_lab.tuning.studies.study import COUNTED, PAUSED, STOP, UNTIL, Requests, Study, Trial
from t4r_lab.tuning.worker_process import crew

POLL = 0.25
CHECKS = 4
"""Checks until a study counts as not running: its workers may be between two trials."""


@dataclass(frozen=True)
class StudyResult:
    """The present result of a study.

    `status` is as in `Study.status`, `counts` has the number of trials by state, `front` holds the best trials as in
    `Study.front`, `start` is the trial of the starting spec, and `importance` has the share of each path by objective.
    """

    name: str
    storage: str
    run_id: str
    status: str
    counts: dict[str, int]
    objectives: tuple[str, ...]
    front: list[Trial]
    start: Trial | None
    importance: dict[str, dict[str, float]]
    seconds: float
    best: RunSpec | None = field(repr=False)
    home: Path = field(repr=False)
    ties: tuple[int, ...] = ()
    """numbers of the other trials with the values of the best"""
    remark: str = ""
    """said where the starting spec itself is best"""
    no_importance: dict[str, str] = field(default_factory=dict)
    """objective → why its importance can't be told"""


def tune(
    spec: RunSpec,
    options: StudyOptions,
    name: str | None = None,
    *,
    home: str | Path | None = None,
    storage: str | None = None,
    on_report: OnReport | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> StudyResult:
    """Search for a better spec than `spec`; an existing study of the same plan is continued.

    Parameters
    ----------
    name
        of the study; by default the spec's.
    storage
        URL of a PostgreSQL server, for workers on several machines; by default a file under the home.
    should_stop
        called continually. True stops the study, as Ctrl-C does: running trials end after the batch and are tried
        again when it continues.

    Raises
    ------
    InputError
        for anything that the user can fix, before anything is written.
    """
    began = time.time()
    plan = Plan.of(spec, options)
    refuse_notebook(spec.flat())
    home_path = homes.ensure(home)
    experiment = Experiment.open(plan.spec, home=home_path)  # refuses here what every trial would refuse
    store, called = connect(address(home_path, storage)).waiting(), name or spec.name
    with reporting(on_report) as report, leading(store, called, home_path) as leader:
        study = begin(called, plan, experiment.dataset.digest, store)
        leader.begin(study)
        return _search(study, experiment, options, leader, began, report, should_stop)


def _search(
    study: Study,
    experiment: Experiment,
    options: StudyOptions,
    leader: Leader,
    began: float,
    on_report: OnReport,
    should_stop: Callable[[], bool],
) -> StudyResult:
    """Lead `study`, begun at the time `began`, and record it."""
    plan, home = study.plan, experiment.home
    record = recording.open_record(study, home)
    on_report(Started(record.run_id))
    try:
        for words in [*plan.remarks, *_too_many(options.workers), _estimate(study, experiment, options)]:
            on_report(Remark(words))
        study.set_attribute(UNTIL, began + 60 * options.minutes if options.minutes else None)
        with processes.interruptible(should_stop) as stopping:
            stopped = _lead(study, record, options, leader, on_report, stopping)
        on_report(Progress("recording"))
        recording.write_summary(study, record, study.trials())
    except BaseException as error:
        with suppress(Exception), retries.at_once():  # the record itself may have failed; the first error is raised
            killed = isinstance(error, KeyboardInterrupt)
            record.finish("KILLED" if killed else "FAILED", f"{type(error).__name__}: {error}".rstrip(": "))
        raise
    status = "stopped" if stopped else "finished"
    record.finish("KILLED" if stopped else "FINISHED", status)
    return replace(summary(study, home), status=status, seconds=time.time() - began)


def stop(name: str, *, home: str | Path | None = None, storage: str | None = None) -> None:
    """Ask every worker of a study, on every machine, to stop after its batch; `tune` continues it later."""
    study = load(name, connect(address(homes.ensure(home), storage)))
    study.set_attribute(STOP, True)
    study.set_attribute(PAUSED, 0.0)


def pause(name: str, *, home: str | Path | None = None, storage: str | None = None) -> None:
    """Ask every worker of a study, on every machine, to wait after its batch, until `end_pause` or `stop`.

    Raises
    ------
    InputError
        if no trial of it runs.
    """
    study = load(name, connect(address(homes.ensure(home), storage)))
    for _ in range(CHECKS):
        if any(trial.state == "running" for trial in study.trials()):
            break
        time.sleep(POLL)
    else:
        raise InputError(f"study {name!r}", "it has no running worker to pause", f"see `t4r-lab studies show {name}`")
    if not study.requests().paused:
        study.set_attribute(PAUSED, time.time())


def end_pause(name: str, *, home: str | Path | None = None, storage: str | None = None) -> bool:
    """End the pause of a study, whose time does not count against its minutes; False if it was not paused."""
    study = load(name, connect(address(homes.ensure(home), storage)))
    requests = study.requests()
    if requests.paused:
        if requests.until is not None:
            study.set_attribute(UNTIL, requests.until + time.time() - requests.paused)
        study.set_attribute(PAUSED, 0.0)
    return bool(requests.paused)


def names(*, home: str | Path | None = None, storage: str | None = None) -> list[str]:
    """The names of all studies."""
    return all_names(connect_to_read(address(homes.locate(home), storage)))


@dataclass(frozen=True)
class Listed:
    """A study in a list: its status, the number of ended trials, the begin of the first one in seconds since 1970, the
    seconds of all together, and the objectives of the best one."""

    name: str
    status: str
    trials: int
    began: float
    seconds: float
    best: dict[str, float]
    reason: str = ""
    """why it can't be read, and the remedy"""


def listed(*, home: str | Path | None = None, storage: str | None = None) -> list[Listed]:
    """A summary of every study; one that can't be read has the status ``unreadable``."""
    store, rows = connect(address(homes.ensure(home), storage)), []
    for name in all_names(store):
        try:
            study = load(name, store)
            trials, front = [t for t in study.trials() if t.state not in ("running", "waiting")], study.front()
        except InputError as refusal:
            rows.append(Listed(name, "unreadable", 0, 0.0, 0.0, {}, str(refusal)))
            continue
        began = min((t.began for t in trials if t.began), default=0.0)
        seconds = sum(t.seconds for t in trials)
        rows.append(Listed(name, study.status(), len(trials), began, seconds, front[0].values if front else {}))
    return rows


def report(name: str, *, home: str | Path | None = None, storage: str | None = None) -> tuple[StudyResult, list[Trial]]:
    """The present result of a study, and every trial."""
    home_path = homes.locate(home)
    study = load(name, connect_to_read(address(home_path, storage)))
    mark_if_dead(study, home_path)
    return summary(study, home_path), study.trials()


def summary(study: Study, home: Path) -> StudyResult:
    """The present result of an open study."""
    trials, front = study.trials(), study.front()
    counts = Counter(trial.state for trial in trials)
    starts = [t for t in trials if t.start and t.state != "lost"]
    best = front[0] if front else None
    importance = {o: study.importance(o) for o in study.plan.objectives}
    return StudyResult(
        study.name,
        shown(study.store.url),
        study.attribute("run_id", ""),
        study.status(),
        dict(counts),
        study.plan.objectives,
        front,
        starts[0] if starts else None,
        {objective: each.shares for objective, each in importance.items()},
        0.0,
        study.spec_of(best) if best else None,
        home,
        study.ties(),
        study.remark(),
        {objective: each.reason for objective, each in importance.items() if each.reason},
    )


# ── pieces ──────────────────────────────────────────────────────────────────────────────────────


def _too_many(workers: int) -> list[str]:
    cores = processors.processors()
    if workers <= cores:
        return []
    return [f"{workers} workers share {cores} cores, so each is slower than alone; --workers {cores} is enough"]


def _estimate(study: Study, experiment: Experiment, options: StudyOptions) -> str:
    """The expected time in words, by the ended trials or else the first steps of the starting spec."""
    from t4r_lab.training.estimate import measure

    trials, budget = study.trials(), study.requests().trials
    seconds = [t.seconds for t in trials if t.state in COUNTED]
    with processors.torch_threads(options.workers):
        epoch = 0.0 if seconds else measure(experiment).seconds
    shortest, longest = (mean(seconds) if seconds else epoch * epochs for epochs in study.plan.epochs)
    left = None if budget is None else max(budget - sum(t.state in COUNTED for t in trials), 0)
    return time_words(shortest, longest, left, options.workers, options.minutes)


def _lead(
    study: Study,
    record: tracking.Record,
    options: StudyOptions,
    leader: Leader,
    on_report: OnReport,
    stop: Callable[[], bool],
) -> bool:
    """Watch until the study has ended, its time is over or it must stop; True if it was stopped.

    Killed workers are restarted.
    """
    reported = {trial.number for trial in study.trials() if trial.state in recording.STATUS}
    recorded: set[int] = set()

    def look() -> tuple[Progress, Requests]:
        """Report and record the trials that have ended; return the progress and the requests to the workers."""
        trials, requests = study.trials(), study.requests()
        _report_ended(study, trials, reported, on_report)
        recording.write_trials(study, record, trials, recorded)
        return _progress(requests, trials, options.minutes), requests

    last, stopped = None, False
    with crew(study, record.home, options.workers) as workers:
        while True:
            leader.look()
            progress, requests = look()
            if progress != last:
                on_report(last := progress)
            stopped = stop() or requests.stop
            if stopped or study.ended():
                break
            running = [worker.check() for worker in workers]  # a list: every one is checked
            if workers and not any(running):
                break
            if not workers and requests.over(time.time()):
                break
            time.sleep(POLL)
    on_report(look()[0])
    return stopped


def _report_ended(study: Study, trials: list[Trial], reported: set[int], on_report: OnReport) -> None:
    """Report the ended trials whose numbers are not in `reported`, and add these to it."""
    ended = [t for t in trials if t.state in recording.STATUS and t.number not in reported]
    if not ended:
        return
    best = {t.number for t in study.front()}
    for trial in ended:
        reported.add(trial.number)
        on_report(
            TrialEnded(trial.number, trial.state, trial.values, trial.reason, trial.seconds, trial.number in best)
        )


def _progress(requests: Requests, trials: list[Trial], minutes: float | None) -> Progress:
    """The number of counted trials; without a total, the elapsed share of the time in hundredths."""
    if requests.trials is None and minutes is not None and requests.until is not None:
        hundredth = 60 * minutes / 100
        elapsed = min(max(int(100 - (requests.until - time.time()) / hundredth), 0), 100)
        return Progress("searching", round(elapsed * hundredth), round(60 * minutes), "s")
    return Progress("searching", sum(t.state in COUNTED for t in trials), requests.trials or 0, "trials")
