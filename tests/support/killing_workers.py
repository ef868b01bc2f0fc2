"""Kill workers of a study at random moments of their trials: ``python -m tests.support.killing_workers HOME STUDY SEED KILLS``.

Workers are forks of this process, which has imported everything but used nothing, so that kills fall where they work
instead of where they import. Prints JSON: in which state each kill left the trial that its worker had.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import t4r_lab.training.trainer
import t4r_lab.tuning.trial  # noqa: F401 (for the forks)
from t4r_lab.tuning import worker
from t4r_lab.tuning.studies.open_study import load
from t4r_lab.tuning.studies.storage import connect
from t4r_lab.tuning.studies.storage_address import address


def fork(home: Path, study: str, number: int) -> int:
    if pid := os.fork():
        return pid
    try:
        worker.work(worker.Orders(study, address(home, None), str(home), f"fork{number}", [number], None, 1))
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        status = 1
    os._exit(status)


def main(home: Path, study: str, seed: int, kills: int) -> None:
    dice, stages = random.Random(seed), []
    for number in range(kills):
        pid = fork(home, study, number)
        opened = load(study, connect(address(home, None)))
        while not any(t.worker == f"fork{number}" for t in opened.trials()) and os.waitpid(pid, os.WNOHANG)[0] == 0:
            time.sleep(0.01)
        time.sleep(dice.uniform(0.0, 0.5))
        with suppress(ProcessLookupError):  # it may have used up the budget
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        mine = [t.state for t in opened.trials() if t.worker == f"fork{number}"]
        opened.release(f"fork{number}")  # as the process that leads the study does
        opened.optuna._storage.remove_session()
        stages.append(mine[-1] if mine else "none")
    pid = fork(home, study, kills)
    _, status = os.waitpid(pid, 0)
    print(json.dumps({"stages": stages, "status": status}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
