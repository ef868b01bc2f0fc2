"""Worker processes of a study on this machine."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from t4r_lab.base import processors, retries, system
from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError
from t4r_lab.tuning.studies.study import COUNTED, Study
from t4r_lab.tuning.worker import COMMAND, Orders, as_text, name_worker

MOST_STARTS = 3
"""Starts of a worker that ends no trial; after that the fault must lie in all workers."""


@contextmanager
def crew(study: Study, home: Path, size: int) -> Iterator[list[WorkerProcess]]:
    """Start `size` workers of `study`, which end with the block."""
    workers = [WorkerProcess(study, home, index, size) for index in range(size)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.end()
        for worker in workers:
            worker.wait()


class WorkerProcess:
    """A worker process on this machine, restarted when it is killed."""

    def __init__(self, study: Study, home: Path, index: int, crew: int) -> None:
        self.study, self.home, self.index = study, home, index
        self.limits = processors.environment(crew)
        self.starts = self.ended = 0
        self._start()

    def _start(self) -> None:
        self.name = name_worker()
        self.ended = self._ended()
        seed = [self.index, len(self.study.trials())]
        orders = Orders(self.study.name, self.study.store.url, str(self.home), self.name, seed)
        package = str(Path(__file__).parent.parent.parent)
        path = os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])
        # closed when the worker has ended
        self.log, self.answer = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115
        environment = {**os.environ, **self.limits, "PYTHONPATH": path}
        self.process = system.start_worker(COMMAND, self.answer, self.log, environment)
        assert self.process.stdin is not None
        with suppress(BrokenPipeError), self.process.stdin as stdin:  # `check` raises why it died
            stdin.write(as_text(orders))
        self.starts += 1

    def check(self) -> bool:
        """True if it runs; one that was killed is restarted, after its trial is returned to the queue.

        Raises
        ------
        InputError
            that of the worker, if it ended by one.
        RuntimeError
            if it failed in another way, or was killed `MOST_STARTS` times without ending a trial.
        """
        code = self.process.poll()
        if code is None:
            return True
        if code == 0:
            return False
        self.study.release(self.name)
        log, answer = _lines(self.log), _lines(self.answer)
        if code == 2 and answer:
            raise InputError(*read_json(answer[-1], f"worker {self.index}"))
        if self._ended() > self.ended:
            self.starts = 0
        if self.starts >= MOST_STARTS or code > 0:
            raise RuntimeError(f"worker {self.index} died ({log[-1] if log else f'signal {-code}'})")
        self._start()
        return True

    def _ended(self) -> int:
        return sum(t.state in COUNTED for t in self.study.trials())

    def end(self) -> None:
        """Tell it to stop after its batch."""
        with suppress(ProcessLookupError):
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Wait until it has ended, and return its trial to the queue."""
        self.process.wait()
        self.log.close()
        self.answer.close()
        # if the storage is unavailable, the trial returns once its heartbeats are missing
        with suppress(Exception), retries.at_once():
            self.study.release(self.name, stopped=True)


def _lines(file: IO[str]) -> list[str]:
    """The lines that a process has written to `file` so far."""
    file.seek(0)
    return file.read().strip().splitlines()
