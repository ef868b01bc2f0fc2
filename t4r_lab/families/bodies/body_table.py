"""The table of bodies, made of the files in the folders beside it: each module with a `BODY` is a row."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Union

from pydantic import BeforeValidator, Field, SerializeAsAny

from t4r_lab.base.errors import InputError
from t4r_lab.families.bodies import hugging_face, native
from t4r_lab.families.bodies.shared.custom_body import CustomBody, row_of
from t4r_lab.families.bodies.shared.layer_knobs import AttentionLayers, Layers
from t4r_lab.families.bodies.shared.row import Body, Configuration, Sizes
from t4r_lab.families.custom import MemberTable, load, or_custom
from t4r_lab.families.maskings.masking_table import MASKINGS

USUAL = (
    "xlnet",
    "gpt2",
    "bert",
    "roberta",
    "electra",
    "albert",
    "deberta-v2",
    "modernbert",
    "longformer",
    "reformer",
    "llama",
    "qwen3",
    "sasrec",
    "ligr",
    "gru",
    "lstm",
)
"""The order of choices; a body that isn't named follows."""


def _rows() -> Iterator[Body]:
    for folder in (hugging_face, native):
        for module in iter_modules(folder.__path__, f"{folder.__name__}."):
            yield import_module(module.name).BODY


def _by_kind() -> dict[str, Body]:
    rows = {body.kind: body for body in _rows()}
    return {kind: rows[kind] for kind in sorted(rows, key=lambda k: (USUAL.index(k) if k in USUAL else len(USUAL), k))}


BODIES: MemberTable[Body] = MemberTable(_by_kind(), lambda kind: row_of(load(kind, CustomBody)))
"""Kind → row, in the order of choices."""


def _is_covered(masking: str, supported: Collection[str]) -> bool:
    """True if `masking` needs the same attention of a body as one of the `supported` ones."""
    return MASKINGS[masking].attention in {MASKINGS[other].attention for other in supported}


def _maskings(kind: str) -> tuple[str, ...]:
    trained_by = BODIES[kind].maskings
    return tuple(dict.fromkeys((*trained_by, *(masking for masking in MASKINGS if _is_covered(masking, trained_by)))))


BODY_MASKINGS: MemberTable[tuple[str, ...]] = MemberTable({kind: _maskings(kind) for kind in BODIES}, _maskings)
"""The maskings that train each body, the usual one first: those of its row, and those that need the same attention.
Read by the validation, the forms, the blocks and the certificates."""

# ── removed bodies ──────────────────────────────────────────────────────────────────────────────

REMOVED_KINDS = dict.fromkeys(
    ("transfo-xl", "transfoxl", "transformer-xl"),
    (
        "Transformer-XL left the `transformers` library (deprecated in 4.36, then removed), so it can't be built",
        "use xlnet, which has its relative positions, or another causal body such as gpt2, llama or sasrec",
    ),
)
"""Kinds that no longer exist: the reason, and the remedy."""


def _transfo_xl(sizes: Sizes) -> object:
    """Transformer-XL (Dai et al., 2019) left `transformers`."""
    raise InputError("TransfoXLConfig", *REMOVED_KINDS["transfo-xl"])


TransfoXLConfig = Configuration("TransfoXLConfig", AttentionLayers, _transfo_xl)
CONFIGURATIONS = {
    **{body.exports: body.transformer.configuration for body in BODIES.values() if body.transformer is not None},
    "TransfoXLConfig": TransfoXLConfig,
}
"""Name in `t4r_lab.nn` → configuration."""

# ── a body in a spec ────────────────────────────────────────────────────────────────────────────


def _refuse_removed_kinds(content: object) -> object:
    kind = content.get("kind") if isinstance(content, dict) else None
    if isinstance(kind, str) and kind.lower() in REMOVED_KINDS:
        raise InputError("kind", *REMOVED_KINDS[kind.lower()])
    return content


if TYPE_CHECKING:
    BodySpec = Layers
else:
    _Ours = Annotated[
        Union[tuple(body.knobs for body in BODIES.values())],  # noqa: UP007 (of a tuple)
        Field(discriminator="kind"),
        BeforeValidator(_refuse_removed_kinds),
    ]
    BodySpec = Annotated[SerializeAsAny[_Ours], or_custom(CustomBody)]


def pair_refusal(body: str, masking: str, supported: tuple[str, ...] | None = None) -> InputError | None:
    """The refusal of a `masking` that can't train `body`, or None. `supported`: of a body outside the table."""
    supported = supported or BODY_MASKINGS[body]
    if _is_covered(masking, supported):
        return None
    bodies = [name for name, maskings in BODY_MASKINGS.items() if masking in maskings]
    remedy = f"use {' or '.join(supported)} with {body}, or {masking} with {', '.join(bodies)}"
    return InputError("", f"masking {masking!r} is not for body {body!r}", remedy)


def not_for(body: str) -> dict[str, list[str]]:
    """Maskings that can't train `body`, by the reason.

    Examples
    --------
    >>> not_for("modernbert")
    {'it attends both ways': ['clm'], 'only xlnet has its two streams': ['plm']}
    """
    groups: dict[str, list[str]] = {}
    causal = {MASKINGS[masking].attention for masking in BODY_MASKINGS[body]} == {"causal"}
    permuted = " and ".join(name for name, maskings in BODY_MASKINGS.items() if _is_covered("plm", maskings))
    reasons = {"causal": "it attends both ways", "two streams": f"only {permuted} has its two streams"}
    every = dict.fromkeys(masking for maskings in BODY_MASKINGS.values() for masking in maskings)
    for masking in (m for m in every if m not in BODY_MASKINGS[body]):
        reason = "it only looks back" if causal else reasons.get(MASKINGS[masking].attention, "it isn't made for it")
        groups.setdefault(reason, []).append(masking)
    return groups
