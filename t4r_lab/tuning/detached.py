"""Detached studies, which outlive the kernel, shell or browser that began them: `t4r-lab tune` in its own session.

Such a study has a folder of its name in ``studies/launched/``: ``spec.yaml`` with the starting spec and its section
``search:``, ``log.txt``, ``error.json`` with the parts of its error, ``storage`` with the address of a server, and a
``lock`` that the process holds while it runs. Its results are in the storage.
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
from t4r_lab.families.custom import refuse_notebook
from t4r_lab.jobs.job import LOG_BYTES
from t4r_lab.spec import RunSpec
from t4r_lab.spec.study_options import Plan, StudyOptions, load_study
from t4r_lab.tuning.studies.storage_address import VARIABLE, address

PREFIX = "study-"
SPEC, STORAGE, ERROR = "spec.yaml", "storage", "error.json"


@dataclass(frozen=True)
class DetachedStudy:
    """A detached study by its folder, in which all state is kept."""

    folder: Path

    @property
    def name(self) -> str:
        """The study's name."""
        return unquote(self.folder.name.removeprefix(PREFIX))

    @property
    def storage(self) -> str | None:
        """The address of the server that it was launched with; None for the file under the home."""
        with suppress(FileNotFoundError):
            return (self.folder / STORAGE).read_text(encoding="utf-8") or None
        return None

    def is_running(self) -> bool:
        """True if its process runs; process ids, which may be reused, are not relied on."""
        return is_locked(self.folder / "lock")

    def error(self) -> InputError | None:
        """The error of its process; None without one."""
        with suppress(FileNotFoundError):
            text = (self.folder / ERROR).read_text(encoding="utf-8")
            return InputError(*read_json(text, f"{self.folder / ERROR}"))
        return None

    def log(self, lines: int = 20) -> str:
        """The last lines that its process printed, as a terminal shows them, without overwritten progress bars."""
        shown = (line.rpartition("\r")[2].rstrip() for line in tail(self.folder / "log.txt", LOG_BYTES).split("\n"))
        return "\n".join([line for line in shown if line][-lines:])


def find(name: str, home: Path) -> DetachedStudy:
    """The detached study of that name, launched or not."""
    return DetachedStudy(home / "studies" / "launched" / f"{PREFIX}{quote(name, safe='')}")


def all_detached(home: Path) -> list[DetachedStudy]:
    """The studies launched from `home`, the latest last."""
    specs = (home / "studies" / "launched").glob(f"{PREFIX}*/{SPEC}")
    return [DetachedStudy(path.parent) for path in sorted(specs, key=lambda path: path.stat().st_mtime)]


def launch(spec: RunSpec, options: StudyOptions, name: str, home: Path, storage: str | None = None) -> DetachedStudy:
    """Begin or continue the study `name` in the background; returns at once.

    Raises
    ------
    InputError
        if the spec can't be searched, trained or judged, while the study still runs, if the home can't be written or
        the storage can't be reached.
    """
    from t4r_lab.training.experiment import Experiment

    refuse_notebook(spec.flat())
    Experiment.open(Plan.of(spec, options).spec, home=home)
    study = find(name, homes.ensure(home))
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
        raise InputError(
            study.folder, f"can't be written ({error.strerror})", "free some space or fix its permissions"
        ) from None
    return study


def resume(name: str, home: Path, storage: str | None = None) -> None:
    """Continue a study, whether begun here or by the command line: at once if it is paused, else in the background.

    Raises
    ------
    InputError
        if there is no such study, or it still runs.
    """
    from t4r_lab.tuning import lead

    launched = find(name, home)
    storage = storage or launched.storage
    if lead.end_pause(name, home=home, storage=storage) and _runs(launched, home, storage):
        return
    path = launched.folder / SPEC
    if path.exists():  # its budget may be newer than that of the plan
        spec, section = load_study(path)
        launch(spec, StudyOptions.parse(section), name, home, storage)
        return
    from t4r_lab.tuning.studies.open_study import load
    from t4r_lab.tuning.studies.storage import connect

    plan = load(name, connect(address(home, storage))).plan
    launch(plan.spec, plan.options, name, home, storage)


def _runs(launched: DetachedStudy, home: Path, storage: str | None) -> bool:
    """True if its process runs here, or a worker on any machine runs a trial."""
    from t4r_lab.tuning import lead

    return launched.is_running() or lead.report(launched.name, home=home, storage=storage)[0].status == "running"


def _start(study: DetachedStudy, home: Path, storage: str | None, lock: int) -> None:
    """Start `tune` with the `lock`, out of reach of interrupts of this process."""
    package = str(Path(__file__).parent.parent.parent)
    command = [sys.executable, "-m", "t4r_lab", "tune", str(study.folder / SPEC), f"--study={study.name}"]
    path = os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])
    (study.folder / ERROR).unlink(missing_ok=True)
    with (study.folder / "log.txt").open("wb") as log:
        system.start_detached(
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
