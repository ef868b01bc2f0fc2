"""The status of a job: its states, and the file that its worker replaces as a whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from t4r_lab.base.documents import read_json
from t4r_lab.base.files import write_json

REQUESTS = {"pause": "pausing", "stop": "stopping", "cancel": "canceling"}
"""Request to a worker → the state of its job until the current batch has ended."""
ACTIVE = ("starting", "running", *REQUESTS.values())
RESUMABLE = ("paused", "stopped", "failed", "lost")
ENDED = ("finished", "canceled")
QUEUED = "queued"
"""State of a job that waits for its turn, see `t4r_lab.jobs.job_queue`."""
STATUS = "status.json"


@dataclass(frozen=True)
class Status:
    """A job at one moment.

    `state` is `QUEUED` or one of `ACTIVE`; then of `RESUMABLE`, where ``lost`` is a job whose worker died; or of
    `ENDED`.
    `eta` is in seconds; `launched`, `started` (of the worker `pid`) and `heartbeat` (the latest report) are in
    seconds since 1970.
    """

    id: str
    name: str
    state: str = "starting"
    pid: int = 0
    launched: float = 0.0
    started: float = 0.0
    heartbeat: float = 0.0
    stage: str = "starting"
    done: int = 0
    total: int = 0
    unit: str = "steps"
    eta: float | None = None
    epochs: int = 1
    monitor: str = ""
    run_id: str = ""
    error: str = ""
    refusal: list[str] = field(default_factory=list)
    """the parts of the `error` if it is an `InputError`"""
    metrics: dict[str, float] = field(default_factory=dict)
    """validation metrics: of the latest epoch; once finished, of the best one"""


def read_status(folder: Path) -> Status:
    """The status in the folder of a job: ``lost`` if it is damaged; fields of later versions are ignored."""
    try:
        content = read_json((folder / STATUS).read_text(encoding="utf-8"), STATUS)
        return Status(**{f.name: content[f.name] for f in fields(Status) if f.name in content})
    except (OSError, ValueError, TypeError, KeyError) as error:
        id = folder.name
        message = f"{STATUS} can't be read ({type(error).__name__}); resume it with `t4r-lab jobs resume {id}`"
        return Status(id, id, "lost", error=message)


def write_status(folder: Path, status: Status) -> None:
    """Replace the status file of a job."""
    # five times a second, so not flushed to the disk: after a power cut a damaged file reads as a lost job
    write_json(folder / STATUS, asdict(status), durable=False)
