"""Schema: the columns of a dataset and their roles."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from t4r_lab.base.documents import Document, read_json
from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.schema import merlin

Kind = Literal["categorical", "continuous", "timestamp"]
Role = Literal["item", "session", "user", "time", "feature", "target"]
Scope = Literal["event", "item", "session"]

PADDING = 0
"""Id of padding in every categorical column; never a candidate for recommendation."""
UNKNOWN = 1
"""Id of a missing or unseen value in categorical columns other than the item."""


class Column(BaseModel):
    """One column of the prepared data.

    Key columns have fixed names, whatever their raw names: ``item_id``, ``session_id``, ``user_id``,
    ``timestamp``. Features and targets keep their raw names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="name in the prepared data and in specs")
    kind: Kind
    role: Role = "feature"
    scope: Scope = Field(
        "event",
        description="what the value depends on: the event, the item alone (kept once, in the item table), "
        "or the session (constant over it)",
    )
    source: str = Field("", description="the user's own name of the column in the raw events")
    size: int = Field(
        0, ge=0, description="categorical: number of ids, padding and unknown included (ids are 0 … size-1)"
    )
    multi: bool = Field(False, description="categorical, item scope: an item has a list of values")
    mean: float = Field(0.0, description="continuous: mean over the training part; stored features have it taken off")
    std: float = Field(
        1.0,
        gt=0,
        description="continuous: deviation over the training part; stored features are divided by it, targets aren't",
    )

    @property
    def classes(self) -> int:
        """Categorical: number of values; value 0 has id 2, after padding and unknown."""
        return max(self.size - UNKNOWN - 1, 0)

    @property
    def is_feature(self) -> bool:
        """True if a model may read the column: the item and every feature except timestamps."""
        return self.role in ("item", "feature") and self.kind != "timestamp"


class Schema(BaseModel):
    """An ordered set of columns with exactly one item column.

    Examples
    --------
    >>> schema = Schema(columns=[Column(name="item_id", kind="categorical", role="item", size=11)])
    >>> schema.n_items
    10
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: tuple[Column, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Schema:
        twice = sorted(name for name, n in Counter(c.name for c in self.columns).items() if n > 1)
        if twice:
            raise ValueError(f"column {twice[0]!r} appears twice; names must be unique")
        items = [c for c in self.columns if c.role == "item"]
        if len(items) != 1 or items[0].kind != "categorical":
            raise ValueError("exactly one categorical column must have the role 'item'")
        return self

    def __iter__(self) -> Iterator[Column]:  # type: ignore[override]
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __contains__(self, name: object) -> bool:
        return any(c.name == name for c in self.columns)

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        names = [c.name for c in self.columns]
        raise InputError(f"column {name!r}", "not in the schema", did_you_mean(name, names), [name])

    @property
    def item(self) -> Column:
        """The item column."""
        return next(c for c in self.columns if c.role == "item")

    @property
    def n_items(self) -> int:
        """Number of candidates: item ids run from 1 to this number, 0 is padding."""
        return self.item.size - 1

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns a model may read, the item first."""
        return (self.item, *(c for c in self.columns if c.is_feature and c.role != "item"))

    @property
    def targets(self) -> tuple[Column, ...]:
        """The label columns."""
        return tuple(c for c in self.columns if c.role == "target")

    def by_role(self, role: Role) -> Column | None:
        """Return the first column with `role`, or None."""
        return next((c for c in self.columns if c.role == role), None)

    def select(self, *names: str) -> Schema:
        """Return the schema of the item column and the named ones, in the order of this schema."""
        for name in names:
            _ = self[name]
        return Schema(columns=tuple(c for c in self.columns if c.name in names or c.role == "item"))

    def to_json(self) -> str:
        """Return the schema as JSON, which `load` reads."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_dict(self) -> Document:
        """Return the schema as plain data, without defaults."""
        return {"columns": [c.model_dump(mode="json", exclude_defaults=True) for c in self.columns]}

    def save(self, path: str | Path) -> None:
        """Write the schema to a JSON file."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Schema:
        """Read ``schema.json``, or a schema of Merlin and NVTabular (``.pbtxt`` or JSON).

        Raises
        ------
        InputError
            if the file is missing or isn't a schema.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
            if not text.strip():
                raise InputError(path, "the file is empty", "give a schema")
            if merlin.is_merlin(text) or Path(path).suffix == ".pbtxt":
                return cls.model_validate({"columns": merlin.columns(text, str(path))})
            return cls.model_validate(read_json(text, str(path)))
        except OSError as error:
            raise InputError(path, f"cannot be read ({error.strerror})", "run `t4r-lab prepare` first") from None
        except (ValidationError, UnicodeDecodeError) as error:
            first = str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else "it is not UTF-8"
            raise InputError(path, f"not a schema file ({first})", "run `t4r-lab prepare` again") from None
