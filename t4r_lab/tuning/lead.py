"""Lead a study: begin it or go on with it, start workers here, watch them, record, and say what was found."""

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
from t4r_lab.families.own import refuse_notebook
from t4r_lab.runs import guard
from t4r_lab.runs.progress import reporting
from t4r_lab.spec import RunSpec
from t4r_lab.spec.study_options import Plan, StudyOptions, time_words
from t4r_lab.training.experiment import Experiment
from t4r_lab.tuning import study_record as recording
from t4r_lab.tuning.studies.leader_lock import Leader, leading, mark_if_dead
from t4r_lab.tuning.studies.open_study import all_names, begin, load
from t4r_lab.tuning.studies.storage import connect, connect_to_read
from t4r_lab.tuning.studies.storage_address import address
from t4r_lab.tuning.studies.study import COUNTED, PAUSED, STOP, UNTIL, Asked, Study, Trial
from t4r_lab.tuning.worker_process import crew

POLL = 0.25
BETWEEN = 4
"""Looks at a study of which nothing runs until that is sure: its workers may be between two trials."""


@dataclass(frozen=True)
class StudyResult:
    """What a study has found so far.

    `status` is as in `Study.status`.
    `front` are the best trials, see `Study.front`; `start` is the trial of the starting spec.
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
    """Search for a better spec than `spec`; an existing study of the same plan goes on.

    Parameters
    ----------
    name
        of the study; by default the spec's.
    storage
        URL of a PostgreSQL server, for workers on several machines; by default a file under the home.
    should_stop
        asked all the time. Ctrl-C does the same: running trials end after the batch and are tried again
        when the study goes on.

    Raises
    ------
    InputError
        for anything the user can fix, before anything is written.
    """
    began = time.time()
    plan = Plan.of(spec, options)
    refuse_notebook(spec.flat())
    place = homes.ensure(home)
    experiment = Experiment.open(plan.spec, home=place)  # what is refused here, no trial could have
    store, called = connect(address(place, storage)).waiting(), name or spec.name
    with reporting(on_report) as report, leading(store, called, place) as leader:
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
    """Lead `study` since the time `began`, and record it."""
    plan, place = study.plan, experiment.home
    record = recording.open_record(study, place)
    on_report(Started(record.run_id))
    try:
        for words in [*plan.remarks, *_too_many(options.workers), _estimate(study, experiment, options)]:
            on_report(Remark(words))
        study.keep(UNTIL, began + 60 * options.minutes if options.minutes else None)
        with guard.interruptible(should_stop) as asked:
            stopped = _lead(study, record, options, leader, on_report, asked)
        on_report(Progress("recording"))
        recording.write_summary(study, record, study.trials())
    except BaseException as error:
        with suppress(Exception), retries.at_once():  # the record may be what failed; the first error is what counts
            killed = isinstance(error, KeyboardInterrupt)
            record.finish("KILLED" if killed else "FAILED", f"{type(error).__name__}: {error}".rstrip(": "))
        raise
    status = "stopped" if stopped else "finished"
    record.finish("KILLED" if stopped else "FINISHED", status)
    return replace(summary(study, place), status=status, seconds=time.time() - began)


def stop(name: str, *, home: str | Path | None = None, storage: str | None = None) -> None:
    """Ask every worker of a study, on every machine, to stop after its batch; `tune` goes on later."""
    study = load(name, connect(address(homes.ensure(home), storage)))
    study.keep(STOP, True)
    study.keep(PAUSED, 0.0)


def pause(name: str, *, home: str | Path | None = None, storage: str | None = None) -> None:
    """Let every worker of a study, on every machine, wait after its batch, with its trial; until `go_on` or `stop`.

    Raises
    ------
    InputError
        if nothing of it runs.
    """
    study = load(name, connect(address(homes.ensure(home), storage)))
    for _ in range(BETWEEN):
        if any(trial.state == "running" for trial in study.trials()):
            break
        time.sleep(POLL)
    else:
        raise InputError(
            f"study {name!r}", "nothing of it runs that could be paused", f"see `t4r-lab studies show {name}`"
        )
    if not study.asked().paused:
        study.keep(PAUSED, time.time())


def go_on(name: str, *, home: str | Path | None = None, storage: str | None = None) -> bool:
    """End a pause, which has cost none of the minutes; whether there was one."""
    study = load(name, connect(address(homes.ensure(home), storage)))
    asked = study.asked()
    if asked.paused:
        if asked.until is not None:
            study.keep(UNTIL, asked.until + time.time() - asked.paused)
        study.keep(PAUSED, 0.0)
    return bool(asked.paused)


def names(*, home: str | Path | None = None, storage: str | None = None) -> list[str]:
    """The studies that there are."""
    return all_names(connect_to_read(address(homes.locate(home), storage)))


@dataclass(frozen=True)
class Listed:
    """A study in a list: its status, trials that have ended, seconds since 1970 at which the first one began, seconds
    that they took together, and what the best one has of the objectives."""

    name: str
    status: str
    trials: int
    began: float
    seconds: float
    best: dict[str, float]


def listed(*, home: str | Path | None = None, storage: str | None = None) -> list[Listed]:
    """The studies that there are, each at a glance; one that can't be read says so as its status."""
    store, found = connect(address(homes.ensure(home), storage)), []
    for name in all_names(store):
        try:
            study = load(name, store)
            trials, front = [t for t in study.trials() if t.state not in ("running", "waiting")], study.front()
        except InputError:
            found.append(Listed(name, "unreadable", 0, 0.0, 0.0, {}))
            continue
        began = min((t.began for t in trials if t.began), default=0.0)
        seconds = sum(t.seconds for t in trials)
        found.append(Listed(name, study.status(), len(trials), began, seconds, front[0].values if front else {}))
    return found


def report(name: str, *, home: str | Path | None = None, storage: str | None = None) -> tuple[StudyResult, list[Trial]]:
    """What a study has found so far, and every trial."""
    place = homes.locate(home)
    study = load(name, connect_to_read(address(place, storage)))
    mark_if_dead(study, place)
    return summary(study, place), study.trials()


def summary(study: Study, home: Path) -> StudyResult:
    """The study's trials, front and best spec at this moment."""
    trials, front = study.trials(), study.front()
    counts = Counter(trial.state for trial in trials)
    starts = [t for t in trials if t.start and t.state != "lost"]
    return StudyResult(
        study.name,
        shown(study.store.url),
        study.attribute("run_id", ""),
        study.status(),
        dict(counts),
        study.plan.objectives,
        front,
        starts[0] if starts else None,
        {o: study.importance(o) for o in study.plan.objectives},
        0.0,
        study.spec_of(front[0]) if front else None,
        home,
    )


# ── pieces ──────────────────────────────────────────────────────────────────────────────────────


def _too_many(workers: int) -> list[str]:
    cores = processors.processors()
    if workers <= cores:
        return []
    return [f"{workers} workers share {cores} cores, so each is slower than alone; --workers {cores} is enough"]


def _estimate(study: Study, experiment: Experiment, options: StudyOptions) -> str:
    """How long it will take, by the trials there are or a look at the first steps of the starting spec."""
    from t4r_lab.training.estimate import measure

    trials, wanted = study.trials(), study.asked().wanted
    known = [t.seconds for t in trials if t.state in COUNTED]
    with processors.torch_threads(options.workers):
        each = mean(known) if known else study.plan.spec.train.epochs * measure(experiment).seconds
    left = None if wanted is None else max(wanted - sum(t.state in COUNTED for t in trials), 0)
    return time_words(each, left, options.workers, options.minutes)


def _lead(
    study: Study,
    record: tracking.Record,
    options: StudyOptions,
    leader: Leader,
    on_report: OnReport,
    stop: Callable[[], bool],
) -> bool:
    """Watch until the study has ended, the time is over or somebody asks to stop, which is returned.

    Dead workers are replaced.
    """
    told = {trial.number for trial in study.trials() if trial.state in recording.STATUS}
    recorded: set[int] = set()

    def look() -> tuple[Progress, Asked]:
        """How far the study is, and what its workers are asked; trials that have ended are reported and recorded."""
        trials, asked = study.trials(), study.asked()
        _tell(study, trials, told, on_report)
        recording.write_trials(study, record, trials, recorded)
        return _progress(asked, trials, options.minutes), asked

    last, stopped = None, False
    with crew(study, record.home, options.workers) as workers:
        while True:
            leader.look()
            progress, asked = look()
            if progress != last:
                on_report(last := progress)
            stopped = stop() or asked.stop
            if stopped or study.ended():
                break
            living = [worker.lives() for worker in workers]  # each is looked after
            if workers and not any(living):
                break
            if not workers and asked.over(time.time()):
                break
            time.sleep(POLL)
    on_report(look()[0])
    return stopped


def _tell(study: Study, trials: list[Trial], told: set[int], on_report: OnReport) -> None:
    """Report the trials that have ended since."""
    news = [t for t in trials if t.state in recording.STATUS and t.number not in told]
    if not news:
        return
    best = {t.number for t in study.front()}
    for trial in news:
        told.add(trial.number)
        on_report(
            TrialEnded(trial.number, trial.state, trial.values, trial.reason, trial.seconds, trial.number in best)
        )


def _progress(asked: Asked, trials: list[Trial], minutes: float | None) -> Progress:
    """How many of the trials have been tried; without a number of them, how much of the time is over, by hundredths."""
    if asked.wanted is None and minutes is not None and asked.until is not None:
        hundredth = 60 * minutes / 100
        gone = min(max(int(100 - (asked.until - time.time()) / hundredth), 0), 100)
        return Progress("searching", round(gone * hundredth), round(60 * minutes), "s")
    return Progress("searching", sum(t.state in COUNTED for t in trials), asked.wanted or 0, "trials")
