"""The commands of jobs, and those that start a program: demo, ui, lab."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab.base import system
from t4r_lab.base.errors import InputError
from t4r_lab.base.terminal import lines_of, say
from t4r_lab.cli import output
from t4r_lab.cli.options import Command, add_json, show

if TYPE_CHECKING:
    from t4r_lab.jobs.job import Job


MOVES = {"up": -1, "down": 1}
"""Action on a queued job → the places that it moves by."""


def _add_jobs(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "action",
        nargs="?",
        choices=["list", "attach", "pause", "stop", "resume", "cancel", "up", "down", "limit", "repeat"],
        default="list",
        help="pause and stop finish the batch and can be resumed, now or, beyond the limit, in turn; cancel is final; "
        "up and down move a queued job; resume starts it now; limit sets how many run at once, the others wait; "
        "repeat trains a recorded run again with other seeds",
    )
    sub.add_argument(
        "id", nargs="?", help="id of a job, or its beginning; after limit: a number, or none; after repeat: a run"
    )
    sub.add_argument("--seeds", type=int, default=2, metavar="N", help="with repeat: number of other seeds (default 2)")
    add_json(sub)


def _jobs(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from t4r_lab import jobs
    from t4r_lab.base import homes
    from t4r_lab.runs import processes

    home = homes.locate()
    if options.action == "limit":
        _set_limit(options, home)
        return
    if options.action == "list":
        _start_next(home)
        rows = [job.status() for job in jobs.all_jobs(home)]
        show(
            options,
            {"jobs": [asdict(s) for s in rows]},
            lambda: output.jobs_text(rows) if rows else f"no jobs in {home}",
        )
        if any(status.state == "lost" for status in rows):
            with suppress(InputError):
                processes.runs(home)  # marks them as ended in the record too
        return
    if not options.id:
        raise InputError(f"jobs {options.action}", "which job?", "give an id of `t4r-lab jobs`")
    if options.action == "repeat":
        launched = jobs.repeat(options.id, options.seeds, home)
        lines = [f"{job.id} {job.status().name}" for job in launched]
        show(options, {"job_ids": [job.id for job in launched]}, lambda: lines_of([*lines, _limit_words(home)]))
        return
    job = jobs.find(home, options.id)
    if options.action == "attach":
        _attach(job)
    elif options.action in MOVES:
        jobs.move(job, MOVES[options.action])
    elif options.action == "resume":
        jobs.resume(job)
    else:
        getattr(job, options.action)()
    status = job.status()
    show(options, {"job_id": job.id, **asdict(status)}, lambda: f"{job.id} {status.state} {status.error}".rstrip())


def _start_next(home: Path) -> None:
    """Start the jobs whose turn has come; what keeps them from it is said and hides nothing else."""
    from t4r_lab import jobs

    try:
        jobs.start_next(home)
    except InputError as error:
        say(f"warning: {error}")


def _set_limit(options: argparse.Namespace, home: Path) -> None:
    """Show the limit of jobs at once, or set it."""
    from t4r_lab import jobs

    if options.id is not None:
        if options.id != "none" and not options.id.isdecimal():
            raise InputError("jobs limit", f"{options.id!r} is not a number", "give one, or none for no limit")
        jobs.set_limit(home, None if options.id == "none" else int(options.id))
    waiting = [job.id for job in jobs.queued(home)]
    show(options, {"limit": jobs.limit(home), "queued": waiting}, lambda: _limit_words(home))


def _limit_words(home: Path) -> str:
    from t4r_lab import jobs

    at_once = jobs.limit(home)
    return f"jobs: at most {at_once} at once" if at_once else "jobs: no limit"


def _attach(job: Job) -> None:
    """Show a job's reports until it ends; Ctrl-C leaves it running."""
    import time

    from t4r_lab import jobs
    from t4r_lab.base.reports import from_event
    from t4r_lab.runs.progress import Console

    console, offset = Console(), 0
    try:
        while True:
            state = job.status().state
            if state == jobs.QUEUED:
                _start_next(job.home)
            active = state in (*jobs.ACTIVE, jobs.QUEUED)
            events, offset = job.follow(offset)
            for event in events:
                with suppress(KeyError):  # damaged, or written by a later version
                    console(from_event(event))
            if not active:
                return
            time.sleep(0.5)
    except KeyboardInterrupt:
        say(f"job {job.id} keeps running")


# ── demo, ui, lab ───────────────────────────────────────────────────────────────────────────────


def _demo(options: argparse.Namespace) -> None:
    from t4r_lab.cli.demo import demo

    result = demo()
    where, content = result.pop("where"), json.dumps(result, indent=2, default=str)
    show(options, result, lambda: lines_of([*content.split("\n"), *where]))


def _add_ui(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--port", type=int, default=5000, help="port on this machine (default 5000)")
    add_json(sub)


def _ui(options: argparse.Namespace) -> int:
    from t4r_lab.base import homes
    from t4r_lab.runs import processes
    from t4r_lab.tracking import pages

    if not 1 <= options.port <= 65535:
        raise InputError("--port", f"{options.port} is not a port", "give 1 to 65535, for example 5000")
    home = homes.ensure()
    if (address := pages.remote(home)) is not None:
        show(options, {"url": address}, lambda: f"the record is on a server: open {address}")
        return 0
    processes.runs(home)  # so that the pages show no run of a dead process as running
    page = pages.page(home, f"http://127.0.0.1:{options.port}")
    words = [f"in a moment, open {page}", f"It {pages.tunnel_hint(page)}", "Ctrl-C ends it"]
    show(options, {"url": page}, lambda: lines_of(words))
    return _start(pages.command(home, options.port), pages.environment())


def _start(module: list[str], environment: dict[str, str] | None = None) -> int:
    """Run a Python module until it ends; its output goes to standard error, since standard output may hold JSON."""
    command = [sys.executable, "-m", *module]
    return subprocess.run(command, env=environment, stdout=sys.__stderr__, check=False).returncode


def _lab(options: argparse.Namespace) -> int:
    notebook = Path("notebooks/lab.ipynb")
    if not notebook.exists():
        notebook = Path("lab.ipynb")
        if not notebook.exists():
            cell: dict[str, object] = {"cell_type": "code", "execution_count": None, "id": "lab", "metadata": {}}
            cell |= {"outputs": [], "source": "import t4r_lab as t4r\n\nt4r.Lab()"}
            kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
            notebook.write_text(json.dumps({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    show(options, {"notebook": str(notebook.resolve())}, lambda: f"JupyterLab opens on {notebook}; Ctrl-C ends it")
    root = system.is_superuser()  # as in a container, where JupyterLab would refuse to start
    return _start(["jupyterlab", str(notebook), *(["--allow-root"] if root else [])])


JOB_COMMANDS = {
    "jobs": Command(_jobs, "list, watch, pause, stop, resume or cancel jobs", "jobs stop 20261124-1203", _add_jobs),
    "demo": Command(_demo, "prepare, train, evaluate, compare and recommend on built-in data", "demo", add_json),
    "ui": Command(_ui, "open the record in the MLflow UI", "ui --port 5000", _add_ui),
    "lab": Command(_lab, "open the front end in JupyterLab", "lab", add_json),
}
