"""Lists in the spec, heads and towers: the elements that can be added, and their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as w

from t4r_lab.base.documents import Document
from t4r_lab.base.errors import InputError
from t4r_lab.families.knobs import Part, element, variants
from t4r_lab.lab.parts.text import escape
from t4r_lab.lab.state.draft import Draft
from t4r_lab.schema.columns import Schema
from t4r_lab.spec import BODY_MASKINGS, NEXT_ITEM, NextItem, RunSpec, head_name
from t4r_lab.spec.head_specs import LABEL_HEADS, LabelSpec
from t4r_lab.spec.sections import HEADS, TowerSpec
from t4r_lab.training.assembly import label_column

NO_LABELS = "The data has no label columns: prepare it with some as targets to predict labels too."

Offer = tuple[str, Document]
"""Text in the drop-down, and content of the new element."""


def _kinds(annotation: object) -> dict[str, type[Part]]:
    return dict(variants(element(annotation) or annotation))


def head_offers(draft: Draft) -> list[Offer]:
    """Every head that could be added: the next item, and each free label by the kinds that the data allow."""
    taken = {head_name(head) for head in draft.spec.model.heads}
    offers: list[Offer] = [] if NEXT_ITEM in taken else [(NextItem.title, {"kind": NEXT_ITEM})]
    for column in draft.schema.targets if draft.schema else ():
        kinds = label_kinds(draft, column.name) if column.name not in taken else []
        offers += [(f"{column.name} · {kind}", {"kind": kind, "column": column.name}) for kind in kinds]
    return offers


def no_head_offered(draft: Draft) -> str:
    """The reason that no head is offered."""
    if draft.schema is None or not draft.schema.targets:
        return NO_LABELS
    taken = {head.label for head in draft.spec.model.heads}
    if all(column.name in taken for column in draft.schema.targets):
        return "Every label has its head."
    return (
        "The labels without a head can't be predicted on these data: they are missing, of one class, or known before."
    )


def label_kinds(draft: Draft, label: str) -> list[str]:
    """The kinds of head that can predict a label of the data."""
    if label in draft.label_heads or draft.schema is None:
        return list(draft.label_heads.get(label, ()))
    return [kind for kind, head in LABEL_HEADS.items() if _fits_schema(head, label, draft.schema)]


def _fits_schema(kind: type[LabelSpec], label: str, schema: Schema) -> bool:
    """True if the schema alone allows that kind of head."""
    try:
        return bool(label_column(kind(column=label), schema, ""))
    except InputError:
        return False


def tower_offers(spec: RunSpec) -> list[Offer]:
    """Every tower that could be added: a body that the masking trains, as wide as the first."""
    kinds, width = _kinds(TowerSpec.model_fields["body"].annotation), spec.model.body.d_model
    fitting = [kind for kind, maskings in BODY_MASKINGS.items() if spec.model.masking.kind in maskings]
    return [(kinds[kind].__name__, {"body": {"kind": kind, "d_model": width}}) for kind in fitting]


def title(spec: RunSpec, path: str, index: int) -> str:
    """The display name of one element."""
    if path == HEADS:
        return spec.model.heads[index].heading
    return f"tower {index + 2} · {type(spec.model.towers[index].body).__name__}"


class ElementHead(w.HBox):
    """The name of an element with its Remove button, above its fields."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self._title = w.HTML()
        self.remove = w.Button(description="Remove")
        self.remove.on_click(lambda _: remove())
        super().__init__([self._title, self.remove])
        self.add_class("t4r-element")

    def show(self, title: str, removable: bool) -> None:
        """Show the title and, where the element is `removable`, its remove button."""
        self._title.value = f'<div class="t4r-heading">{escape(title)}</div>'
        self.remove.tooltip = f"remove {title}"
        self.remove.layout.display = "" if removable else "none"


class Adder(w.VBox):
    """A drop-down of elements that can be added to a list, and its button; without any, the reason."""

    def __init__(self, what: str, help: str, add: Callable[[Document], None]) -> None:
        self.offers: list[Offer] = []
        self.choice = w.Dropdown(
            description=f"another {what}", layout={"width": "auto"}, style={"description_width": "8.5rem"}, tooltip=help
        )
        self.button = w.Button(description=f"Add {what}", tooltip=help)
        self.button.on_click(lambda _: add(dict(self.offers)[self.choice.value]))
        self._line, self._why = w.HBox([self.choice, self.button]), w.HTML()
        self._line.add_class("t4r-adder")
        super().__init__([self._line, self._why])

    def show(self, offers: Sequence[Offer], why: str = "") -> None:
        """Show the elements that can be added, or `why` there are none."""
        self.offers, texts = list(offers), [text for text, _ in offers]
        if texts != list(self.choice.options):
            self.choice.options = texts
            self.choice.index = 0 if texts else None
        self._line.layout.display = "" if self.offers else "none"
        self._why.value = "" if self.offers else f'<div class="t4r-help">{escape(why)}</div>'
