"""The draft on disk, so that a restart of the kernel loses no edit."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError
from t4r_lab.base.files import write_json
from t4r_lab.lab.state.draft import Draft
from t4r_lab.spec import RunSpec

FILE = "draft.json"


def keep(draft: Draft, home: Path) -> None:
    """Write the spec being edited into the home; a home that can't be written keeps none."""
    with suppress(OSError, InputError):
        write_json(home / FILE, {"named": draft.named, "spec": draft.spec.to_dict()}, durable=False)


def kept(home: Path) -> tuple[RunSpec, bool] | None:
    """The spec that was being edited, and whether a person named it; None if there is none that can be read."""
    try:
        content = read_json((home / FILE).read_text(encoding="utf-8"), FILE)
        return RunSpec.parse(content["spec"]), bool(content["named"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
