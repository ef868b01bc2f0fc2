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
"""A worker is started again so often without having ended a trial; then something is wrong with all of them."""


@contextmanager
def crew(study: Study, home: Path, size: int) -> Iterator[list[WorkerProcess]]:
    """That many workers of `study`, which end with the block."""
    workers = [WorkerProcess(study, home, index, size) for index in range(size)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.end()
        for worker in workers:
            worker.wait()


class WorkerProcess:
    """A worker process here, started again when it is killed."""

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
        self.said, self.answer = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115
        environment = {**os.environ, **self.limits, "PYTHONPATH": path}
        self.process = system.start_worker(COMMAND, self.answer, self.said, environment)
        assert self.process.stdin is not None
        with suppress(BrokenPipeError), self.process.stdin as stdin:  # `lives` tells why it died
            stdin.write(as_text(orders))
        self.starts += 1

    def lives(self) -> bool:
        """Whether it works; one that was killed gives its trial back and is started again.

        Raises
        ------
        InputError
            its own, if it ended by one.
        """
        code = self.process.poll()
        if code is None:
            return True
        if code == 0:
            return False
        self.study.lose(self.name)
        said, answer = _lines(self.said), _lines(self.answer)
        if code == 2 and answer:
            raise InputError(*read_json(answer[-1], f"worker {self.index}"))
        if self._ended() > self.ended:
            self.starts = 0
        if self.starts >= MOST_STARTS or code > 0:
            raise RuntimeError(f"worker {self.index} died ({said[-1] if said else f'signal {-code}'})")
        self._start()
        return True

    def _ended(self) -> int:
        return sum(t.state in COUNTED for t in self.study.trials())

    def end(self) -> None:
        """Ask it to stop after its batch."""
        with suppress(ProcessLookupError):
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Wait until it has ended, and give back what it was trying."""
        self.process.wait()
        self.said.close()
        self.answer.close()
        # where the storage is away, the trial will be given up for want of signs of life
        with suppress(Exception), retries.at_once():
            self.study.lose(self.name, stopped=True)


def _lines(file: IO[str]) -> list[str]:
    """The lines that a process has written to `file` so far."""
    file.seek(0)
    return file.read().strip().splitlines()
