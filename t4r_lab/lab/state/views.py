"""Small values that the panels show, read from records, jobs and prepared data by `source`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from t4r_lab.base.documents import Document
from t4r_lab.base.errors import InputError
from t4r_lab.data.pipeline.inspection import ColumnReading
from t4r_lab.data.pipeline.split_checks import Finding
from t4r_lab.data.pipeline.split_preview import SplitPreview
from t4r_lab.data.prepared.profile_content import Profile
from t4r_lab.runs.recommend import Item
from t4r_lab.runs.recorded.run_filter import STATES, Facts
from t4r_lab.schema.columns import Schema

RUNNING = ("starting", "running", "pausing", "stopping", "canceling")
RESUMABLE = ("paused", "stopped", "failed", "lost")


@dataclass(frozen=True)
class DataSummary:
    """Summary of a prepared folder."""

    path: Path
    schema: Schema
    profile: Profile
    """content of ``profile.json``"""
    remarks: tuple[str, ...] = ()
    """events and columns dropped in preparation, in words"""
    checks: tuple[Finding, ...] = ()
    """leakage and cold start of the split, in words"""
    digest: str = ""
    """digest of the folder when it was opened"""
    label_heads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """label → the kinds of head that can be trained on it"""

    @property
    def parts(self) -> Mapping[str, Mapping[str, int]]:
        """part → sessions, events, items"""
        return self.profile["parts"]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def sessions(self) -> int:
        """Sessions of all parts."""
        return sum(part.get("sessions", 0) for part in self.parts.values())


@dataclass(frozen=True)
class Raw:
    """Source of raw events: a file, or a data frame of the notebook by its name. False if neither is set."""

    path: str = ""
    frame: str = ""

    def __bool__(self) -> bool:
        return bool(self.path or self.frame)

    @property
    def name(self) -> str:
        """The data frame's name in the notebook, or the file's without its suffix."""
        return self.frame or Path(self.path).stem


@dataclass(frozen=True)
class Preview:
    """Columns and first rows of raw events."""

    columns: tuple[ColumnReading, ...]
    rows: tuple[tuple[str, ...], ...]
    """the first rows, as text"""
    events: int
    refusal: InputError | None = None
    """the error that preparing them would raise"""
    notes: tuple[str, ...] = ()
    """recognized properties of the file, such as its separator"""
    split: SplitPreview | None = None
    """the split that the options give; None if it is refused"""
    split_refusal: InputError | None = None
    """the error of the split; the columns are fine"""


@dataclass(frozen=True)
class JobState:
    """A job at one moment."""

    id: str
    name: str
    state: str
    """one of `RUNNING`, of `RESUMABLE`, finished or canceled"""
    what: str = ""
    """body and masking, in words"""
    stage: str = ""
    done: int = 0
    total: int = 0
    unit: str = "steps"
    eta: float | None = None
    """seconds to the end"""
    error: str = ""
    metrics: tuple[str, ...] = ("ndcg@20",)
    """validation metrics with a curve: the monitored one, then the deciding one of each other head"""
    epochs: int = 1
    launched: float = 0.0
    """seconds since 1970"""
    run_id: str = ""
    silent: float = 0.0
    """seconds since the last report, while it runs"""
    position: int = 0
    """position in the queue, from 1; 0 for a job that isn't in it"""
    behind: int = 0
    """number of jobs in the queue that come later"""

    @property
    def running(self) -> bool:
        """True while a process works on it."""
        return self.state in RUNNING

    @property
    def queued(self) -> bool:
        """True while it waits for its turn."""
        return self.state == "queued"

    @property
    def resumable(self) -> bool:
        """True if it can resume from a checkpoint."""
        return self.state in RESUMABLE


@dataclass(frozen=True)
class News:
    """Reports of a job since the last reading."""

    events: Sequence[Document] = ()
    read: int = 0
    """the byte up to which its reports have been read"""
    log: str = ""
    """the end of its log, if requested"""


@dataclass(frozen=True)
class RunSummary:
    """A recorded run with its metrics on the validation part."""

    run_id: str
    name: str
    status: str
    started: float
    seconds: float | None
    body: str
    masking: str
    valid: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    data: str = ""
    """name of the prepared data"""
    promoted: bool = False
    """true if it is or was in the registry; the test part is shown only then"""
    aliases: tuple[str, ...] = ()
    test: Mapping[str, float] = field(default_factory=dict)
    test_baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    looks: int = 0
    """number of times the test part was scored with it"""
    warnings: tuple[str, ...] = ()
    """reasons to doubt its metrics; of the test part only if that is shown"""
    knobs: Mapping[str, str] = field(default_factory=dict)
    """dotted path → value of its spec, as text"""
    facts: Facts = field(default_factory=dict)
    """what it can be filtered by"""

    @property
    def state(self) -> str:
        """Its state in words."""
        return STATES.get(self.status, self.status.lower())

    @property
    def label(self) -> str:
        """Name, the beginning of the id, and the data."""
        return f"{self.name} · {self.run_id[:8]}{f' · {self.data}' if self.data else ''}"

    @property
    def finished(self) -> bool:
        """True if it has a model."""
        return self.status == "FINISHED"


@dataclass(frozen=True)
class NextItems:
    """Next items with their probabilities, the best first."""

    items: tuple[tuple[Item, float], ...]
    note: str = ""
    """items or features of the session that the run ignores, in words"""
