"""The content of ``profile.json``: statistics of prepared data, as plain values."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from t4r_lab.base.documents import Document
from t4r_lab.schema.columns import Role, Scope

Share = list[int]
"""[count, total]"""
Quantiles = dict[str, float]
"""Probability, as text → value."""


class LengthFigures(TypedDict):
    """Events of a training session."""

    mean: float
    quantiles: dict[str, int]
    histogram: dict[str, int]
    """number of events, as text → sessions"""
    last_is_longer: bool
    """true if the last bar of the histogram holds all longer sessions too"""


class PopularityFigures(TypedDict):
    """Training events of the items."""

    top_1_percent_share: float
    top_10_percent_share: float
    gini: float
    curve: list[list[int]]
    """[rank, events]"""


class TimeFigures(TypedDict, total=False):
    """Events over time, in seconds since 1970; empty for events without times."""

    parts: dict[str, list[float]]
    """part → its first and last event"""
    edges: list[float]
    """borders of the bins"""
    events: dict[str, list[int]]
    """part → events of each bin"""


class CategoryFigures(TypedDict):
    """The values of a category column."""

    kind: Literal["categorical"]
    role: Role
    scope: Scope
    values: int
    rows: int
    unknown_share: float
    top: list[int]
    """rows of the most frequent values"""
    top_values: list[str]


class NumberFigures(TypedDict):
    """The values of a column of numbers."""

    kind: Literal["continuous"]
    role: Role
    scope: Scope
    mean: float
    std: float
    quantiles: Quantiles
    """empty if there are no values"""


class SplitFigures(TypedDict):
    """Counts for the checks of a split; see `t4r_lab.data.pipeline.split_checks.split_figures`."""

    timed: bool
    unseen: dict[str, dict[str, Share]]
    sessions: NotRequired[dict[str, Share]]
    copies: NotRequired[dict[str, Share]]
    users: NotRequired[dict[str, Share]]
    early: NotRequired[dict[str, dict[str, Share]]]
    repeated: NotRequired[Share]


class Profile(TypedDict):
    """All of it. How the events were read is added last."""

    items: int
    split: str
    parts: dict[str, dict[str, int]]
    """part → sessions, events, items, targets"""
    lengths: LengthFigures
    popularity: PopularityFigures
    time: TimeFigures
    features: dict[str, CategoryFigures | NumberFigures]
    left_out: dict[str, int]
    """reason → events"""
    columns_left_out: dict[str, str]
    """column → reason"""
    columns_as_text: dict[str, list[tuple[str, int]]]
    """column → the values that are no numbers, and their rows"""
    cuts: dict[str, float]
    """part → its first second"""
    checks: dict[str, float]
    leakage: dict[str, int]
    split_checks: SplitFigures
    options: Document
    """content of `PrepareOptions`"""
    reading: NotRequired[list[str]]
    """notes on how the events were read"""
    time_form: NotRequired[str | None]
