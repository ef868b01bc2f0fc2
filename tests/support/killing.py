"""Kill the workers of jobs at random moments: ``python -m tests.support.killing HOME SPEC SEED KILLS``.

Workers are forks of this process, which has imported everything but used nothing, so that a job takes a second and
most of the kills fall where it works instead of where it imports. Prints JSON: the undisturbed job, the others, and
at which stage each kill fell.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from itertools import cycle
from pathlib import Path

import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 (for the forks)

import t4r_lab.training.trainer  # noqa: F401 (for the forks)
from t4r_lab import jobs
from t4r_lab.jobs import job_worker as worker
from t4r_lab.spec import RunSpec
from t4r_lab.training.experiment import Experiment

MOST = 4
"""Kills of one job; then it may end."""
forks: dict[str, int] = {}
look_at = Experiment.open


def fork(job: jobs.Job, lock: int) -> None:
    """In place of `Job.start`."""
    if pid := os.fork():
        forks[job.id] = pid
        return
    try:
        Experiment.open = look_at  # type: ignore[method-assign]
        log = os.open(job.folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        status = worker.work(job)
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        status = 1
    os._exit(status)


def ended(job: jobs.Job, seconds: float) -> bool:
    """Whether the worker ends by itself within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitpid(forks[job.id], os.WNOHANG)[0]:
            return True
        time.sleep(0.002)
    return False


def main(home: Path, spec: RunSpec, seed: int, kills: int) -> None:
    jobs.Job.start = fork  # type: ignore[method-assign]
    Experiment.open = lambda spec, home: None  # type: ignore[method-assign, assignment, misc]  # threads that read data don't survive a fork
    whole = jobs.launch(spec, home)
    began = time.monotonic()
    assert ended(whole, 60)
    seconds = time.monotonic() - began
    dice, others, stages = random.Random(seed), [], []
    parts = cycle(dice.sample(range(kills), kills))  # of a job's time, each once, so that few kills meet every stage
    while len(stages) < kills:
        job = jobs.launch(spec, home)
        others.append(job.id)
        for _ in range(MOST):
            if ended(job, seconds * (next(parts) + dice.random()) / kills):
                break
            os.kill(forks[job.id], signal.SIGKILL)
            os.waitpid(forks[job.id], 0)
            status = job.status()
            stages.append(job.written().stage)
            if status.state == "finished":
                break
            assert status.state == "lost", status
            job.resume()
        else:
            assert ended(job, 60), job.status()
    print(json.dumps({"whole": whole.id, "others": others, "stages": stages, "seconds": seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), RunSpec.load(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
