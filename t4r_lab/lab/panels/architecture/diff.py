"""Changes since a run's spec was cloned."""

from __future__ import annotations

from t4r_lab.lab.parts.text import escape
from t4r_lab.lab.state.draft import Draft


def differences(draft: Draft) -> dict[str, tuple[object, object]]:
    """Dotted path → (value of the cloned spec, present value), where they differ."""
    if draft.origin is None:
        return {}
    before, now = draft.origin.flat(), draft.spec.flat()
    paths = dict.fromkeys([*before, *now])
    return {p: (before.get(p, "–"), now.get(p, "–")) for p in paths if before.get(p, "–") != now.get(p, "–")}


def diff(draft: Draft) -> str:
    """HTML table of the `differences`; empty if no run was cloned."""
    if draft.origin is None:
        return ""
    head = f"Cloned from {escape(draft.origin_name)}"
    changes = differences(draft)
    if not changes:
        return f'<div class="t4r-help">{head}; nothing is changed yet.</div>'
    rows = "".join(
        f'<tr><th scope="row">{escape(path)}</th><td class="t4r-quiet">{escape(before)}</td><td>{escape(now)}</td></tr>'
        for path, (before, now) in changes.items()
    )
    return (
        f'<table class="t4r-plain t4r-changes"><caption>{head}</caption><thead><tr><th scope="col">changed</th>'
        f'<th scope="col">run</th><th scope="col">now</th></tr></thead><tbody>{rows}</tbody></table>'
    )
