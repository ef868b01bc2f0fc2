"""What a saved notebook shows of the Lab while no kernel answers."""

from __future__ import annotations

from base64 import b64encode

from t4r_lab.lab.parts.text import escape
from t4r_lab.lab.state.draft import Draft
from t4r_lab.pictures.model_picture import describe, layers, picture_file


def still(draft: Draft) -> str:
    """The state of a draft as HTML that needs no kernel."""
    words = f"T4R Lab: {draft.spec.name} on {draft.spec.data.path}. Run this cell to go on."
    if draft.schema is None:
        return f'<div class="t4r-still"><p>{escape(words)}</p></div>'
    image = b64encode(picture_file(draft.spec, draft.schema).encode()).decode()
    text = describe(layers(draft.spec, draft.schema))
    return (
        f'<div class="t4r-still"><p>{escape(words)}</p>'
        f'<img alt="The model: {escape(text)}" src="data:image/svg+xml;base64,{image}"/></div>'
    )
