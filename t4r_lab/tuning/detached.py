"""Studies that outlive the kernel, shell or browser that began them: `t4r-lab tune` in a session of its own.

Such a study has a folder ``studies/launched/``, named after it: ``spec.yaml`` with the starting spec and its section
``search:``, ``log.txt``, ``error.json`` with the parts of what it failed by, ``storage`` with the address where that is
a server, and a ``lock`` that the process holds while it lives. All that it finds is in the storage.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import yaml

from t4r_lab.base import homes, system
from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import ERROR_FILE, InputError
from t4r_lab.base.files import is_locked, locked, replacing, tail
from t4r_lab.families.own import refuse_notebook
from t4r_lab.jobs.job import LOG_BYTES
from t4r_lab.spec import RunSpec
from t4r_lab.spec.study_options import Plan, StudyOptions, load_study
from t4r_lab.tuning.studies.storage_address import VARIABLE, address

PREFIX = "study-"
SPEC, STORAGE, ERROR = "spec.yaml", "storage", "error.json"


@dataclass(frozen=True)
class Launched:
    """A study by its folder; holds no state of its own."""

    folder: Path

    @property
    def name(self) -> str:
        """The study's name."""
        return unquote(self.folder.name.removeprefix(PREFIX))

    @property
    def storage(self) -> str | None:
        """The address that it was launched with; None for the file under the home."""
        with suppress(FileNotFoundError):
            return (self.folder / STORAGE).read_text(encoding="utf-8") or None
        return None

    def lives(self) -> bool:
        """Whether its process is there, whatever became of the process id."""
        return is_locked(self.folder / "lock")

    def error(self) -> InputError | None:
        """What its process failed by, if it did."""
        with suppress(FileNotFoundError):
            text = (self.folder / ERROR).read_text(encoding="utf-8")
            return InputError(*read_json(text, f"{self.folder / ERROR}"))
        return None

    def log(self, lines: int = 20) -> str:
        """The last lines that its process printed, as a terminal shows them: what a bar has overwritten is gone."""
        shown = (line.rpartition("\r")[2].rstrip() for line in tail(self.folder / "log.txt", LOG_BYTES).split("\n"))
        return "\n".join([line for line in shown if line][-lines:])


def of(name: str, home: Path) -> Launched:
    """The launched process of a study."""
    return Launched(home / "studies" / "launched" / f"{PREFIX}{quote(name, safe='')}")


def all_launched(home: Path) -> list[Launched]:
    """Those that were launched from `home`, the latest last."""
    specs = (home / "studies" / "launched").glob(f"{PREFIX}*/{SPEC}")
    return [Launched(path.parent) for path in sorted(specs, key=lambda path: path.stat().st_mtime)]


def launch(spec: RunSpec, options: StudyOptions, name: str, home: Path, storage: str | None = None) -> Launched:
    """Begin the study `name`, or go on with it; returns at once.

    Raises
    ------
    InputError
        for what can't be searched, trained or judged, while it still runs, if the home can't be written or the storage
        not be reached.
    """
    from t4r_lab.training.experiment import Experiment

    refuse_notebook(spec.flat())
    Experiment.open(Plan.of(spec, options).spec, home=home)
    study = of(name, homes.ensure(home))
    if storage:
        from t4r_lab.tuning.studies.storage import connect

        connect(address(home, storage))
    content = {**spec.to_dict(), "search": options.model_dump(mode="json", exclude_defaults=True)}
    try:
        study.folder.mkdir(parents=True, exist_ok=True)
        with locked(study.folder / "lock") as lock:
            with replacing(study.folder / SPEC) as path:
                path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
            with replacing(study.folder / STORAGE) as path:
                path.touch(0o600)  # it may have a password
                path.write_text(storage or "", encoding="utf-8")
            _start(study, home, storage, lock.fileno())
    except BlockingIOError:
        raise InputError(f"study {name!r}", "it is running", "stop it first, or wait for it") from None
    except OSError as error:
        raise InputError(study.folder, f"can't be written ({error.strerror})", "free some space or fix it") from None
    return study


def resume(name: str, home: Path, storage: str | None = None) -> None:
    """Go on with a study, by whichever face it was begun: at once where it is paused, else in the background.

    Raises
    ------
    InputError
        if there is none, or it still runs.
    """
    from t4r_lab.tuning import lead

    launched = of(name, home)
    storage = storage or launched.storage
    if lead.go_on(name, home=home, storage=storage) and _runs(launched, home, storage):
        return
    path = launched.folder / SPEC
    if path.exists():  # its budget may be a later one than that of the plan
        spec, section = load_study(path)
        launch(spec, StudyOptions.parse(section), name, home, storage)
        return
    from t4r_lab.tuning.studies.open_study import load
    from t4r_lab.tuning.studies.storage import connect

    plan = load(name, connect(address(home, storage))).plan
    launch(plan.spec, plan.options, name, home, storage)


def _runs(launched: Launched, home: Path, storage: str | None) -> bool:
    """Whether its process is here, or a worker has a trial anywhere."""
    from t4r_lab.tuning import lead

    return launched.lives() or lead.report(launched.name, home=home, storage=storage)[0].status == "running"


def _start(study: Launched, home: Path, storage: str | None, lock: int) -> None:
    """`tune` with the `lock`, out of reach of interrupts of this process."""
    package = str(Path(__file__).parent.parent.parent)
    command = [sys.executable, "-m", "t4r_lab", "tune", str(study.folder / SPEC), f"--study={study.name}"]
    path = os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])
    (study.folder / ERROR).unlink(missing_ok=True)
    with (study.folder / "log.txt").open("wb") as log:
        system.apart(
            command,
            lock,
            log,
            {
                **os.environ,
                homes.VARIABLE: str(home),
                VARIABLE: storage or "",
                ERROR_FILE: str(study.folder / ERROR),
                "PYTHONPATH": path,
            },
        )
