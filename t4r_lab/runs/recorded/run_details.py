"""A recorded run in detail: what people wrote, how its spec differs, where it comes from, on what it ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.base.files import tail
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.runs.compared.seed_means import MOST, SeedMean
from t4r_lab.spec import RunSpec
from t4r_lab.tracking import RunRow

if TYPE_CHECKING:
    from t4r_lab.data.pipeline.split_checks import Finding

SEED, NAME, DATA = "train.seed", "name", "data.path"
LOG = "log.txt"
LOG_LINES, LOG_BYTES = 60, 16_384
"""The end of a log, which may have gigabytes."""


@dataclass(frozen=True)
class RunDetails:
    """What a run's page shows beside its metrics; what is lost is missing, and named in `lost`."""

    row: RunRow
    notes: str
    tags: Mapping[str, str]
    """those of its owner"""
    spec: RunSpec | None
    closest: RunRow | None
    """of the earlier runs on the same data the one whose spec differs least, the newest of several"""
    differing: Mapping[str, tuple[str, str]]
    """dotted path → (value of the closest run, value of this one)"""
    repeats: Mapping[str, RunRow]
    """seed → the newest run with the same spec and data but that seed"""
    seed: str
    study: str = ""
    """name of the study that it belongs to"""
    commit: str = ""
    environment: str = ""
    """Python, platform and the versions of all packages, one a line"""
    log: str = ""
    """the end of its job's log"""
    checks: Sequence[Finding] = field(default_factory=tuple)
    """of the split of its data, where they are still there"""
    lost: Sequence[str] = field(default_factory=tuple)
    """the artifacts that are not in the record any more"""


def run_details(run: str, *, home: str | Path | None = None) -> RunDetails:
    """Read everything that is recorded of a run, named by its id, the beginning of it, or its name.

    Raises
    ------
    InputError
        if there is no such run.
    """
    home_path = homes.locate(home)
    rows = tracking.runs(home_path)
    row = tracking.choose(rows, run, home_path)
    files = tracking.Artifacts(home_path)
    tags, lost = row.tags, []
    spec: RunSpec | None = None
    try:
        spec = tracking.spec(home_path, row, files)
    except InputError:
        lost.append(tracking.SPEC)
    environment = files.path(row.run_id, "environment.txt")
    closest, differing, repeats, seed = _relatives(row, rows)
    return RunDetails(
        row,
        tags.get(tracking.NOTE, ""),
        tracking.user_tags(tags),
        spec,
        closest,
        differing,
        repeats,
        seed,
        tracking.study_of(home_path, tags),
        tags.get("mlflow.source.git.commit", ""),
        environment.read_text(encoding="utf-8") if environment.exists() else "",
        _log(row),
        _checks(spec, row),
        lost,
    )


def over_seeds(details: RunDetails) -> dict[str, SeedMean]:
    """Validation metric → its mean over the finished runs of all seeds, the run itself among them."""
    rows = [row for row in [details.row, *details.repeats.values()] if row.status == "FINISHED"][:MOST]
    names = [name for name in details.row.valid if all(name in row.valid for row in rows)]
    return {name: SeedMean.of([row.valid[name] for row in rows]) for name in names if len(rows) > 1}


def _relatives(
    row: RunRow, rows: Sequence[RunRow]
) -> tuple[RunRow | None, dict[str, tuple[str, str]], dict[str, RunRow], str]:
    """The closest earlier run on the same data, how its spec differs, the runs of other seeds, and the run's seed."""
    same_data = [r for r in rows if r.digest == row.digest and r.run_id != row.run_id]
    changes = {r.run_id: differences(r.knobs, row.knobs) for r in same_data}
    by_seed = {changes[r.run_id][SEED][0]: r for r in reversed(same_data) if set(changes[r.run_id]) == {SEED}}
    earlier = [r for r in same_data if r.started < row.started]  # newest first, so the newest of equals
    closest = min(earlier, key=lambda r: len(changes[r.run_id]), default=None)
    return closest, changes[closest.run_id] if closest else {}, by_seed, row.knobs.get(SEED, "")


def differences(theirs: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Dotted path → both values where two recorded specs differ, whatever their names and the paths of their data.

    >>> differences({"name": "a", "train.seed": "0"}, {"name": "b", "train.seed": "1", "model.body.n_head": "4"})
    {'train.seed': ('0', '1'), 'model.body.n_head': ('–', '4')}
    """
    paths = [path for path in dict.fromkeys([*theirs, *ours]) if path not in (NAME, DATA)]
    both = {path: (theirs.get(path, "–"), ours.get(path, "–")) for path in paths}
    return {path: values for path, values in both.items() if values[0] != values[1]}


def _checks(spec: RunSpec | None, row: RunRow) -> tuple[Finding, ...]:
    """The checks of the split of the run's data; none where these are gone or others by now."""
    from t4r_lab.data.pipeline.split_checks import findings

    with suppress(InputError):
        if spec is not None and (data := Dataset.open(spec.data.path)).digest == row.digest:
            return findings(data.profile)
    return ()


def _log(row: RunRow) -> str:
    """The end of the log of the job that trained the run; empty where there is none."""
    if not row.folder:
        return ""
    lines = tail(Path(row.folder).parent / LOG, LOG_BYTES).splitlines()[-LOG_LINES:]
    return "\n".join(line.rpartition("\r")[2] for line in lines)
