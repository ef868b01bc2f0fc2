"""The queue: jobs beyond the home's limit wait for their turn, which whoever ends or looks next gives them.

``jobs/queue.json`` holds the limit and the order. No process has to live for it: a worker that ends starts the next
job, and after one that was killed, the next that lists or launches jobs does. A job that waits in a copy of its home,
or for another tracking server than the one that is set, is not started by itself.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from t4r_lab.base import homes
from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError
from t4r_lab.base.files import locked, write_json
from t4r_lab.jobs.job import Job, all_jobs, create
from t4r_lab.jobs.job_status import ACTIVE, QUEUED
from t4r_lab.spec import RunSpec
from t4r_lab.spec.run_spec import LONGEST_NAME

MOST_SEEDS = 20
"""The most jobs that `repeat` launches."""
SEEDED = re.compile(r" seed \d+$")
FILE, LOCK = "queue.json", "queue.lock"
MOST = 64
"""The largest limit."""
PATIENCE = 10.0
"""Seconds to wait for another process that starts the next job."""


def launch(spec: RunSpec, home: Path) -> Job:
    """Start `spec` as a job of `home`, or let it wait where the home's limit of jobs is reached; returns at once.

    Raises
    ------
    InputError
        as `Experiment.open`, or if the home can't be written; nothing is left behind.
    """
    home_path = homes.ensure(home)
    waits = limit(home_path) is not None
    job = create(spec, home_path, waits)
    if waits:
        start_next(home_path)  # at once, if it is its turn
    return job


def repeat(run: str, count: int, home: str | Path | None = None) -> list[Job]:
    """Launch jobs that train a recorded run again, each with another seed that no run or waiting job of it has.

    A home without a limit gets one of 1, so that they train one after the other.

    Parameters
    ----------
    run
        its id, the beginning of it, or its name.
    count
        number of jobs, 1 to `MOST_SEEDS`.

    Raises
    ------
    InputError
        for another count, or as `spec_to_repeat` and `launch`.
    """
    from t4r_lab.runs.promote import spec_to_repeat
    from t4r_lab.runs.recorded.run_details import run_details

    if not 1 <= count <= MOST_SEEDS:
        raise InputError("seeds", f"{count} is not possible", f"choose 1 to {MOST_SEEDS}")
    home_path = homes.locate(home)
    spec = spec_to_repeat(run, home=home_path)
    taken = {spec.train.seed, *map(int, run_details(run, home=home_path).repeats), *_seeds_at_work(spec, home_path)}
    seeds = islice((seed for seed in itertools.count() if seed not in taken), count)
    if limit(home_path) is None:
        set_limit(home_path, 1)
    name = SEEDED.sub("", spec.name)[: LONGEST_NAME - 20]
    return [launch(spec.override({"train.seed": n, "name": f"{name} seed {n}"}), home_path) for n in seeds]


def _seeds_at_work(spec: RunSpec, home: Path) -> set[int]:
    """Seeds of the jobs, waiting or at work, whose specs differ from `spec` by name and seed alone."""
    seeds = set()
    for job in all_jobs(home):
        if job.written().state in (QUEUED, *ACTIVE):
            with suppress(InputError):
                other = job.spec()
                if other.override({"name": spec.name, "train.seed": spec.train.seed}) == spec:
                    seeds.add(other.train.seed)
    return seeds


def resume(job: Job) -> None:
    """Let a job go on from its last checkpoint, when its turn comes if the home has a limit; one that waits starts now.

    Of the jobs that wait, the one launched first has the first turn, unless it was moved.

    Raises
    ------
    InputError
        as `Job.resume`.
    """
    if job.written().state == QUEUED or limit(job.home) is None:
        job.resume()
    else:
        job.enqueue()
        start_next(job.home)


def limit(home: Path) -> int | None:
    """The most jobs of the home that run at once; None for no limit.

    Raises
    ------
    InputError
        if the file of the queue is damaged.
    """
    return _read(home)[0]


def set_limit(home: Path, at_once: int | None) -> None:
    """Let at most `at_once` jobs of the home run at once, None for any number; jobs that run go on.

    Raises
    ------
    InputError
        for a number below 1 or above `MOST`.
    """
    write_limit(home, at_once)
    start_next(home)


def write_limit(home: Path, at_once: int | None) -> None:
    """As `set_limit`, at once: jobs whose turn comes by it are started by who looks next."""
    if at_once is not None and not 1 <= at_once <= MOST:
        raise InputError("limit", f"{at_once} jobs at once", f"give 1 to {MOST}, or none for no limit")
    with _held(home):
        _write(home, at_once, _order(home))


def queued(home: Path) -> list[Job]:
    """The jobs that wait, the next one first."""
    launched = {job: status.launched for job in all_jobs(home) if (status := job.written()).state == QUEUED}
    waiting = {job.id: job for job in sorted(launched, key=lambda job: (launched[job], job.id))}
    order = [id for id in _order(home) if id in waiting]
    return [waiting[id] for id in [*order, *(id for id in waiting if id not in order)]]


def move(job: Job, places: int) -> None:
    """Move a waiting job by so many places, toward the front where they are negative.

    Raises
    ------
    InputError
        if it doesn't wait.
    """
    with _held(job.home):
        ids = [each.id for each in queued(job.home)]
        if job.id not in ids:
            raise InputError(f"job {job.id}", f"it is {job.status().state}", "only a queued job can be moved")
        position = min(max(ids.index(job.id) + places, 0), len(ids) - 1)
        ids.remove(job.id)
        ids.insert(position, job.id)
        _write(job.home, limit(job.home), ids)


def start_next(home: Path) -> list[Job]:
    """Start the jobs whose turn has come, and return them; one that is refused fails with the reason.

    A process that does the same at this moment is left to it.

    Raises
    ------
    InputError
        if the file of the queue is damaged or the next job can't be started, for example on a full disk; all wait on.
    """
    started: list[Job] = []
    waiting = [job for job in queued(home) if job.is_at_home()]
    if not waiting:
        return started
    try:
        with _held(home):
            at_once = limit(home)
            for job in waiting:
                if at_once is not None and _active(home) >= at_once:
                    break
                with suppress(BlockingIOError):  # someone cancels or starts it
                    started += [job] * job.start_queued()
    except BlockingIOError:
        pass
    except OSError as error:
        words = f"the next job can't be started ({error.strerror or error})"
        raise InputError("queue of jobs", words, "free some space or fix its permissions; they start then") from None
    return started


def _active(home: Path) -> int:
    return sum(job.status().state in ACTIVE for job in all_jobs(home))


@contextmanager
def _held(home: Path) -> Iterator[None]:
    folder = home / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK, PATIENCE):
        yield


def _read(home: Path) -> tuple[int | None, list[str]]:
    """Limit and order; none of a home without a queue."""
    path = home / "jobs" / FILE
    try:
        content = read_json(path.read_text(encoding="utf-8"), FILE)
        at_once, order = content["limit"], content["order"]
        if (at_once is not None and not (type(at_once) is int and 1 <= at_once <= MOST)) or not isinstance(order, list):
            raise ValueError
    except FileNotFoundError:
        return None, []
    except (OSError, ValueError, KeyError, TypeError):
        remedy = "set the limit of jobs at once again; until then no waiting job starts"
        raise InputError(path, "it can't be read", remedy) from None
    return at_once, [str(id) for id in order]


def _order(home: Path) -> list[str]:
    """Order of the ids that were moved; none where the file is damaged, which loses no job."""
    try:
        return _read(home)[1]
    except InputError:
        return []


def _write(home: Path, at_once: int | None, order: list[str]) -> None:
    write_json(home / "jobs" / FILE, {"limit": at_once, "order": order})
