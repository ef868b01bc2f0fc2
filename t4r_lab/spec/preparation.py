"""Options of preparing raw events, each defined once, for the command line, the form and Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.base.reports import PART_WORDS
from t4r_lab.families.knobs import Part, knob
from t4r_lab.schema.columns import Scope
from t4r_lab.spec.run_spec import explain

Kind = Literal["categorical", "continuous", "timestamp"]
TIME_FORMS = (
    "seconds",
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "minutes",
    "hours",
    "days",
    "spreadsheet",
    "ticks",
    "dates",
    "day-first",
    "month-first",
    "order",
)
"""Words for how times are read; `docs/data.md` says what each is. A format as strptime takes it is another way."""
YEAR = re.compile(r"%[-_0^#]?[YyGgCcDFxs+v]")
"""What holds the year in a format of strptime."""
READING = ("layout", "columns", "separator")
"""Options that say how a file is taken apart, before its columns are known."""


class PrepareOptions(Part):
    """Column roles, sessions, filters, features and split."""

    session: str | None = knob(None, "column with the session's id; empty: recognized by its name")
    item: str | None = knob(None, "column with the item's id; empty: recognized by its name")
    time: str | None = knob(None, "column with the time of the event; empty: recognized by its name")
    time_format: str | None = knob(
        None,
        "format of the times: a strptime format, seconds (milliseconds, minutes, days, …) since 1970, "
        "spreadsheet, ticks, day-first, month-first, or order; empty: inferred from the whole column",
    )
    user: str | None = knob(None, "column with the user's id; empty: recognized by its name")
    title: str | None = knob(None, "column with the item's title; empty: recognized by its name")
    merlin_schema: str | None = knob(
        None, "schema file of Merlin or NVTabular (.pbtxt, .json) that describes the columns"
    )
    layout: Literal["auto", "table", "lines"] = knob("auto", "table: one event per line; lines: one user per line")
    columns: list[str] = Field([], description="column names of a text file without a header: a,b,c")
    separator: str | None = knob(
        None, "separator of a text file's fields, such as :: or tab or space; empty: inferred from its first lines"
    )
    gap_minutes: float | None = knob(None, "start a new session when a user pauses for this many minutes", low=0.01)
    min_item_support: int = knob(1, "items with fewer training events are left out", low=1)
    min_session_length: int = knob(2, "sessions with fewer events are left out", low=2)
    drop_repeats: bool = knob(False, "of consecutive events with the same item, keep the first")
    features: list[str] | None = Field(None, description="columns to keep as features; empty: all others")
    ignore: list[str] = Field([], description="columns to leave out")
    targets: list[str] = Field([], description="label columns: kept, but never a feature")
    kinds: dict[str, Kind] = Field({}, description="kind of a column: categorical, continuous or timestamp")
    missing: list[str] = Field([], description="words that mean a missing value, in any column")
    scopes: dict[str, Scope] = Field(
        {}, description="what a column depends on: event, item or session; where values differ, the first one counts"
    )
    split: Literal["time", "leave_one_out"] = knob(
        "time", "time: later sessions; leave_one_out: each session's last events"
    )
    valid_from: str | None = knob(None, "start date of the validation part")
    test_from: str | None = knob(None, "start date of the test part")
    valid_days: float | None = knob(None, "days of the validation part, just before the test part", low=1e-6)
    test_days: float | None = knob(None, "days of the test part, the last ones", low=1e-6)
    valid_share: float = knob(
        0.1, "share of the sessions in the validation part, just before the test part", low=0.001, high=0.9
    )
    test_share: float = knob(0.1, "share of the sessions in the test part, the last ones", low=0.001, high=0.9)
    unseen_items: Literal["drop", "keep"] | None = knob(
        None,
        "items without a training event: drop, or keep as candidates; empty: drop, but keep with leave_one_out",
    )

    @field_validator("columns", mode="before")
    @classmethod
    def _by_commas(cls, value: object) -> object:
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, (list, tuple)):
            return words
        return [name.strip() for word in words for name in str(word).split(",") if name.strip()]

    @model_validator(mode="after")
    def _one_way_to_cut(self) -> PrepareOptions:
        for part in ("valid", "test"):
            if getattr(self, f"{part}_from") is not None and getattr(self, f"{part}_days") is not None:
                raise InputError(
                    "", f"{part}_from and {part}_days both say where the {PART_WORDS[part]} begins", "give one"
                )
        both = sorted({*(self.features or []), *self.targets, *self.scopes} & set(self.ignore))
        if both:
            raise InputError("ignore", f"column {both[0]!r} is also asked for", "name it once", [both[0]])
        return self

    @field_validator("time_format")
    @classmethod
    def _check_time_format(cls, form: str | None) -> str | None:
        if form is None or form in TIME_FORMS or YEAR.search(form):
            return form
        problem, remedy = (
            f"{form!r} is neither a format such as %Y-%m-%d nor a known word",
            did_you_mean(form, TIME_FORMS),
        )
        if "%" in form:
            problem, remedy = f"{form!r} has no year", "add one, as in %Y-%m-%d %H:%M"
        raise InputError("", problem, remedy)

    @property
    def measures_time(self) -> list[str]:
        """Options in use that need times with a unit."""
        names = ("gap_minutes", "valid_from", "test_from", "valid_days", "test_days")
        return [name for name in names if getattr(self, name) is not None]

    @property
    def keeps_unseen(self) -> bool:
        """True if items that training doesn't have stay in the other parts; by default with leave-one-out alone."""
        return (self.unseen_items or ("keep" if self.split == "leave_one_out" else "drop")) == "keep"

    @classmethod
    def parse(cls, content: Mapping[str, object]) -> PrepareOptions:
        """Check plain content.

        Raises
        ------
        InputError
            with the option, its value and a remedy.
        """
        try:
            return cls.model_validate(dict(content))
        except ValidationError as error:
            raise explain(cls, content, error) from None
