"""Preparing, as every face does it: prepared data that runs or studies refer to are not replaced unasked."""

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
"""Runs that a refusal names."""


class Referred(InputError):
    """Other data would take the place of those in `out` that runs or studies refer to; `why` names them."""

    def __init__(self, out: Path, why: str) -> None:
        remedy = "give another --out, or --force (from Python force=True) to replace them all the same"
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
        folder to write; prepared data that stands there is replaced, anything else is refused.
    test
        events of a given test part; then only validation is split off `events`.
    items, users
        tables of attributes, joined by the item or user column.
    force
        replace the prepared data in `out` even where runs or studies refer to them.
    home
        whose runs and studies are asked; by default as `t4r_lab.base.homes.locate` finds it.

    Raises
    ------
    Referred
        if runs or studies refer to the data in `out`, and these are others.
    InputError
        for whatever the user can fix; nothing half-written is left behind.
    """
    from t4r_lab.data.pipeline.prepare_events import prepare as write

    def check(there: str, new: str) -> None:
        if new != there and not force:
            refuse_referred(Path(out), there, home)

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
        raise Referred(out, f"which runs refer to the data there can't be seen ({why})") from None
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        who = f"{', '.join(names[:NAMED])}{more} {'refers' if len(names) == 1 else 'refer'}"
        raise Referred(out, f"other data would take the place of those that {who} to")


def referring(out: Path, digest: str, home: str | Path | None = None) -> list[str]:
    """The runs and studies that would miss the data in `out`, by name, the newest first.

    They are those on data of that digest, unless it is another folder, which is still there, that they were on. Asked
    are `home` and the home that `out` lies in.
    """
    out = out.absolute()
    places = [
        homes.locate(home),
        *([] if tracking.server() else [out.parent.parent]),
    ]  # a server's is one record for all
    found = [row for place in dict.fromkeys(places) for row in tracking.of_data(place, digest)]
    return list(dict.fromkeys(name for name, path in found if not _is_another(Path(path), out)))


def _is_another(path: Path, out: Path) -> bool:
    """Whether `path` is a prepared folder other than `out`."""
    return path.is_absolute() and (path / "manifest.json").is_file() and not path.samefile(out)
