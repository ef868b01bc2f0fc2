"""The worker of a job: runs or resumes it, and writes its reports into the job's folder."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from t4r_lab import tracking
from t4r_lab.base import files, processors, system
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Epoch, Progress, Report, Started, to_event
from t4r_lab.base.terminal import clean_line, say
from t4r_lab.jobs import job_queue
from t4r_lab.jobs.job import EVENTS, Job
from t4r_lab.jobs.job_status import REQUESTS, STATUS, Status
from t4r_lab.jobs.launch_record import SHARED
from t4r_lab.runs import processes, run
from t4r_lab.runs.progress import Sentences

PROGRESS_EVERY = 0.2
"""Least seconds between two progress reports of one stage that are written."""
PROGRESS_LINES = 2000
"""The most progress reports of one stage that become events: every watcher reads them all."""
STATE_OF = {"pause": "paused", "cancel": "canceled"}
"""Request → the state of the job once training has ended early; ``stopped`` by anything else."""


class Reporter:
    """Writes reports as events, updates the status, and prints the main ones as lines for people.

    While the disk is full the old status stays, and events are kept in memory.
    """

    def __init__(self, job: Job) -> None:
        now = time.time()
        self.job = job
        self.status = replace(
            job.written(), state="running", pid=os.getpid(), started=now, heartbeat=now, error="", refusal=[]
        )
        self._first: tuple[float, int] | None = None
        self._wrote, self._last_event_done = 0.0, 0
        self._waiting = ""
        self._sentences = Sentences()
        _cut_torn_line(job.folder / EVENTS)
        self._write()

    def __call__(self, report: Report) -> None:
        now = time.time()
        if self._too_soon(report, now):
            return
        before, self.status = self.status, self._next(report, now)
        if self._is_event(report, before):
            self._waiting += json.dumps({"time": now, **to_event(report)}) + "\n"
        self._write()
        self._say(self._sentences(report))

    def end(self, **changes: Any) -> None:
        """Write the last status, with `changes` of its fields."""
        self.status = replace(self.status, eta=None, **changes)
        self._write()
        self._say(self.status.state)

    def _say(self, line: str | None) -> None:
        """Print a line into the job's log, the output of this process."""
        if line:
            with suppress(OSError):
                print(time.strftime("%Y-%m-%d %H:%M:%S"), clean_line(line), flush=True)

    def _write(self) -> None:
        if not (self.job.folder / STATUS).exists():  # the job was deleted; don't recreate half of it
            return
        with suppress(OSError):  # not printed either: the log is on the same disk
            if self._waiting:
                files.append(self.job.folder / EVENTS, self._waiting)
                self._waiting = ""
            self.job.write(self.status)

    def _too_soon(self, report: Report, now: float) -> bool:
        """True if `report` is progress within a stage, of which another report has just been written."""
        if not isinstance(report, Progress):
            return False
        within = report.stage == self.status.stage and report.done != report.total
        if within and now - self._wrote < PROGRESS_EVERY:
            return True
        self._wrote = now
        return False

    def _is_event(self, report: Report, before: Status) -> bool:
        if not isinstance(report, Progress):
            return True
        within = report.stage == before.stage and report.done != report.total
        if within and 0 <= report.done - self._last_event_done < report.total / PROGRESS_LINES:
            return False
        self._last_event_done = report.done
        return True

    def _next(self, report: Report, now: float) -> Status:
        status = replace(self.status, heartbeat=now)
        if isinstance(report, Started):
            return replace(status, run_id=report.run_id)
        if isinstance(report, Epoch):
            return replace(status, metrics=report.valid)
        if not isinstance(report, Progress):
            return status
        if report.stage != status.stage or self._first is None:
            self._first = (now, report.done)
        seconds, steps = now - self._first[0], report.done - self._first[1]
        eta = seconds / steps * (report.total - report.done) if steps > 0 and report.total else None
        return replace(status, stage=report.stage, done=report.done, total=report.total, unit=report.unit, eta=eta)


def _cut_torn_line(path: Path) -> None:
    """Remove an incomplete last line, written when an earlier worker was killed, which would spoil the next one."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def work(job: Job) -> int:
    """Run or resume `job`, whose lock this process holds; return the exit status."""
    resumed = (job.folder / EVENTS).exists()
    reporter = Reporter(job)
    try:
        earlier = tracking.run_in_folder(job.home, job.checkpoints) if resumed else None
        if earlier is not None and earlier.status == "FINISHED":  # the last worker was killed after recording this
            processes.remove_checkpoints(job.checkpoints)
            reporter.end(state="finished", run_id=earlier.run_id, metrics=earlier.valid)
            return 0
        spec = tracking.with_present_data(job.home, job.spec(), earlier.digest) if earlier else job.spec()
        result = run.run(
            spec,
            home=job.home,
            on_report=reporter,
            should_stop=lambda: job.request() in REQUESTS,
            folder=job.checkpoints,
            resume=earlier.run_id if earlier else None,
        )
    except InputError as error:
        reporter.end(state="failed", error=str(error), refusal=list(error.parts))
        say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        return _ended_early(job, reporter)
    except BaseException as error:
        reporter.end(state="failed", error=f"{type(error).__name__}: {error}")
        raise
    if result.status != "FINISHED":
        return _ended_early(job, reporter)
    reporter.end(state="finished", metrics=result.valid or reporter.status.metrics)
    return 0


def _ended_early(job: Job, reporter: Reporter) -> int:
    state = STATE_OF.get(job.request(), "stopped")
    reporter.end(state=state)
    if state == "canceled":
        processes.discard_run(job.home, job.checkpoints)
    return 0


def main(folder: str, lock: str) -> int:
    """Work with the `lock` inherited from the launcher, which child processes don't inherit."""
    gc.set_threshold(100_000, 50, 100)  # imports make a million objects that stay; collecting them took a second
    os.set_inheritable(int(lock), False)
    processors.limit()
    system.stop_as_interrupted()
    try:
        return work(Job(Path(folder)))
    finally:
        os.close(int(lock))  # the end of the interpreter takes a second in which a resume would be refused
        _start_next(Job(Path(folder)).home)


def _start_next(home: Path) -> None:
    if os.environ.pop(SHARED, ""):  # this job shared the cores; the next one may have them all
        os.environ.pop("OMP_WAIT_POLICY", None)
    try:
        job_queue.start_next(home)
    except (InputError, OSError) as error:  # no reason to hide how this job ended; who looks next is told
        say(f"error: {error}")


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
