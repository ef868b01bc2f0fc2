"""Data preparation for every face; prepared data that runs or studies refer to are replaced only by force."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import OnReport, silent
from t4r_lab.spec.preparation import PrepareOptions

if TYPE_CHECKING:
    from t4r_lab.data.formats.format_readers import Source
    from t4r_lab.data.prepared.prepared_data import Dataset

NAMED = 5
"""Number of runs that a refusal names."""


class Referred(InputError):
    """Other data would replace those in `out` that runs or studies refer to; `why` names them."""

    def __init__(self, out: Path, why: str) -> None:
        remedy = "give another --out, or --force (from Python force=True) to replace them anyway"
        super().__init__(out, why, remedy)


def prepare(
    events: Source | Sequence[str | Path],
    out: str | Path,
    options: PrepareOptions | None = None,
    *,
    test: Source | Sequence[str | Path] | None = None,
    items: Source | None = None,
    users: Source | None = None,
    on_report: OnReport = silent,
    force: bool = False,
    home: str | Path | None = None,
) -> Dataset:
    """Turn raw events into a prepared folder and open it.

    Parameters
    ----------
    events
        files or a data frame, one row per event, or per session with lists of events. RecBole's ``.inter``
        brings its ``.item`` and ``.user``.
    out
        folder to write; prepared data in it are replaced, anything else is refused.
    test
        events of a separate test part; then only validation is split off `events`.
    items, users
        tables of attributes, joined by the item or user column.
    force
        replace the prepared data in `out` even where runs or studies refer to them.
    home
        the home whose runs and studies are checked; by default as `t4r_lab.base.homes.locate` finds it.

    Raises
    ------
    Referred
        if runs or studies refer to the data in `out`, and the new data differ.
    InputError
        for anything the user can fix; nothing half-written is left behind.
    """
    from t4r_lab.data.pipeline.prepare_events import prepare as write

    def check(old: str, new: str) -> None:
        if new != old and not force:
            refuse_referred(Path(out), old, home)

    return write(events, out, options, test=test, items=items, users=users, on_report=on_report, may_replace=check)


def refuse_referred(out: Path, digest: str, home: str | Path | None = None) -> None:
    """Refuse to replace the prepared data in `out` where runs or studies refer to them, or may do so.

    Raises
    ------
    Referred
    """
    try:
        names = referring(out, digest, home)
    except Exception as error:  # a record that can't be read may have runs
        why = " ".join(str(error).split())
        raise Referred(out, f"the runs that refer to its data can't be read ({why})") from None
    if names:
        rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        subject = f"{', '.join(names[:NAMED])}{rest} {'refers' if len(names) == 1 else 'refer'}"
        raise Referred(out, f"other data would replace those that {subject} to")


def referring(out: Path, digest: str, home: str | Path | None = None) -> list[str]:
    """The runs and studies that would miss the data in `out`, by name, the newest first.

    These are the runs and studies on data of that `digest`, except those on another folder that still exists. Both
    `home` and the home that `out` lies in are searched.
    """
    out = out.absolute()
    homes_to_search = [
        homes.locate(home),
        *([] if tracking.server() else [out.parent.parent]),
    ]  # a server holds one record for all homes
    runs_on_data = [
        row for home_path in dict.fromkeys(homes_to_search) for row in tracking.references_to_data(home_path, digest)
    ]
    return list(dict.fromkeys(name for name, path in runs_on_data if not _is_another(Path(path), out)))


def _is_another(path: Path, out: Path) -> bool:
    """True if `path` is a prepared folder other than `out`."""
    return path.is_absolute() and (path / "manifest.json").is_file() and not path.samefile(out)
