"""The commands that take things out of a home and bring them back: archive, delete, trash."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.cli import output
from t4r_lab.cli.options import Command, add_json, show


def _add_archive(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("run", help="id, beginning of an id, or name of a run")
    sub.add_argument("--undo", action="store_true", help="show it in lists again")
    add_json(sub)


def _archive(options: argparse.Namespace) -> None:
    from t4r_lab import tracking

    home = homes.locate()
    row = tracking.find(home, options.run)
    tracking.archive(home, row.run_id, not options.undo)
    words = "is shown in lists again" if options.undo else "is left out of lists; `runs archived:yes` lists it"
    show(options, {"run_id": row.run_id, "archived": not options.undo}, lambda: f"run {row.name} {words}")


def _add_delete(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("kind", choices=["run", "job", "study", "data"], help="what to delete")
    sub.add_argument("name", nargs="+", help="id or name of a run, id of a job, name of a study or of data in the home")
    add_json(sub)


def _delete(options: argparse.Namespace) -> None:
    from t4r_lab.removal.trash import delete

    entries = [delete(options.kind, name) for name in options.name]
    show(
        options,
        {"deleted": [asdict(entry) for entry in entries]},
        lambda: "; ".join(
            f"{e.kind} {e.name} is in the trash; `t4r-lab trash restore {e.id}` brings it back" for e in entries
        ),
    )


def _add_trash(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "action",
        nargs="?",
        choices=["list", "restore", "empty"],
        default="list",
        help="restore brings back, also its record; empty erases for good what was deleted",
    )
    sub.add_argument("id", nargs="?", help="id or name of something deleted, for restore")
    add_json(sub)


def _trash(options: argparse.Namespace) -> None:
    from t4r_lab.removal.trash import deleted, empty, restore

    if options.action == "restore":
        if not options.id:
            raise InputError("trash restore", "what?", "give an id or name of `t4r-lab trash`")
        entry = restore(options.id)
        show(options, {"restored": asdict(entry)}, lambda: f"{entry.kind} {entry.name} is back")
        return
    entries = empty() if options.action == "empty" else deleted()
    words = f"erased for good: {len(entries)}" if options.action == "empty" else ""
    show(
        options,
        {"erased" if words else "deleted": [asdict(entry) for entry in entries]},
        lambda: words or (output.trash_text(entries) if entries else "the trash is empty"),
    )


REMOVAL_COMMANDS = {
    "archive": Command(_archive, "leave a run out of lists, or show it again", "archive 3f2a9c1d", _add_archive),
    "delete": Command(
        _delete, "delete runs, jobs, studies or data, unless something needs them", "delete run 3f2a9c1d", _add_delete
    ),
    "trash": Command(_trash, "list what was deleted, bring it back, or erase it", "trash restore 3f2a9c1d", _add_trash),
}
