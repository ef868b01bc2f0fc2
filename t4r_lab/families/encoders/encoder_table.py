"""The table of encoders, made of the files beside it, and the section of one feature in a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import SerializeAsAny, create_model

from t4r_lab.families import encoders
from t4r_lab.families.custom import MemberTable, load, or_custom
from t4r_lab.families.encoders.column_encoder import ColumnEncoder
from t4r_lab.families.encoders.vectors_spec import VectorsSpec
from t4r_lab.families.knobs import Part, knob
from t4r_lab.families.members import members

USUAL = ("embedding", "scalar", "projected", "soft_one_hot", "vectors")
ENCODERS: MemberTable[type[ColumnEncoder]] = MemberTable(
    members(encoders, ColumnEncoder, USUAL), lambda encoding: load(encoding, ColumnEncoder)
)
"""Encoding → encoder, in the order of choices."""


def encodings_for(kind: str) -> tuple[str, ...]:
    """The encodings of a column of a `kind`, the default first."""
    return tuple(encoding for encoding, encoder in ENCODERS.items() if kind in encoder.takes)


def made_of(encoder: type[ColumnEncoder], feature: Part) -> ColumnEncoder:
    """An `encoder` with those of its knobs that a `feature` of a spec gives."""
    names = [name for name in encoder.model_fields if name != encoder.tag and hasattr(feature, name)]
    return encoder.model_validate({name: getattr(feature, name) for name in names})


def _described() -> str:
    """The encodings by the kind of column, in one line."""
    lines = []
    for kind in ("categorical", "continuous"):
        *first, last = encodings_for(kind)
        lines.append(f"{kind}: {', '.join(first)}{' or ' if first else ''}{last}")
    return f"{'; '.join(lines)}. Empty: by the column's kind"


# ── a feature in a spec ─────────────────────────────────────────────────────────────────────────

WORDS = "How one column enters the model. A feature with `vectors` may have any name: it belongs to the item."


def _fields() -> dict[str, tuple[object, object]]:
    """The encoding, its width, and the knobs of every encoder of the table."""
    words = tuple(encoding for encoding, encoder in ENCODERS.items() if encoder.takes)
    fields: dict[str, tuple[object, object]] = {ColumnEncoder.tag: (Literal[words] | None, knob(None, _described()))}
    for encoder in ENCODERS.values():
        for name, field in encoder.model_fields.items():
            fields.setdefault(name, (field.annotation, field))
    return fields


if TYPE_CHECKING:

    class FeatureSpec(Part):
        """How one column enters the model, with the knobs of the package's encoders."""

        encoding: str | None = None
        dim: int | None = None
        table: str | None = None
        vectors: VectorsSpec | None = None
        bins: int = 10

    FeaturePart = FeatureSpec
else:
    FeatureSpec = create_model("FeatureSpec", __base__=Part, __module__=__name__, __doc__=WORDS, **_fields())
    FeaturePart = Annotated[SerializeAsAny[FeatureSpec], or_custom(ColumnEncoder)]
