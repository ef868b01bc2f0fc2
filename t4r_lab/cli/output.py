"""Results as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab.base.reports import PART_WORDS
from t4r_lab.base.terminal import Lines, lines_of, table, wrapped
from t4r_lab.families.custom import trusted
from t4r_lab.families.metrics.metric_table import RANK_METRICS
from t4r_lab.runs.recorded.run_filter import STATES
from t4r_lab.spec.study_options import best_word

if TYPE_CHECKING:
    import pandas as pd

    from t4r_lab.jobs.job_status import Status
    from t4r_lab.removal.trash import Deleted
    from t4r_lab.runs.analyze import Cases
    from t4r_lab.runs.compare import Comparison
    from t4r_lab.runs.promote import Promotion
    from t4r_lab.runs.results import RunResult
    from t4r_lab.spec import RunSpec
    from t4r_lab.tracking import RunRow
    from t4r_lab.training.estimate import Estimate
    from t4r_lab.tuning.finalize import Final
    from t4r_lab.tuning.lead import Listed, StudyResult
    from t4r_lab.tuning.studies.study import Trial


def estimate_text(spec: RunSpec, estimate: Estimate) -> Lines:
    """Parameters and memory of every part that `spec` builds, and the time of an epoch."""
    kinds = ("weights", "gradients", "optimizer", "activations", "logits")
    lines = [f"{spec.name}  ({spec.model.body.kind} · {spec.model.masking.kind}, data {spec.data.path})", ""]
    costs = [[cost.path, f"{cost.parameters:,}", f"{cost.memory / 1e6:,.1f}"] for cost in estimate.costs]
    costs.append(["together", f"{estimate.parameters:,}", f"{estimate.memory / 1e6:,.1f}"])
    lines += [table(["part", "parameters", "MB"], costs, [1, 2]), ""]
    lines += ["memory in training, MB  " + " · ".join(f"{kind} {estimate.total(kind) / 1e6:,.1f}" for kind in kinds)]
    seconds = f"about {estimate.seconds:.3g} s with validation, as timed here"
    lines += [f"an epoch                {estimate.steps:,} steps, {seconds}"]
    return lines_of(lines)


def run_text(result: RunResult) -> Lines:
    """The summary that `train` prints: tables of model and baselines on each part that was scored."""
    if result.status != "FINISHED":
        short = result.run_id[:8]
        return lines_of([f"run {short} was stopped; resume it with: t4r-lab train --resume {short}"])
    parts = {"valid": result.valid, "test": result.test}
    lines = [f"run {result.run_id} ({result.name})", ""]
    for part, metrics in parts.items():
        if metrics:
            lines += [PART_WORDS[part], scores({result.name: metrics, **result.baselines.get(part, {})}), ""]
    lines += [*(f"warning: {words}" for words in result.warnings), ""] if result.warnings else []
    return lines_of([*lines, f"recorded in {result.home}"])


NEXT = {
    "FINISHED": ("compare {run} OTHER", "recommend {run} --sessions FILE", "train --again {run}"),
    "KILLED": ("train --resume {run}",),
    "RUNNING": ("jobs",),
    "FAILED": ("train --again {run} --set path=value",),
}
"""Status of a run → the commands that may come next."""


def run_content(row: RunRow) -> dict[str, object]:
    """A recorded run for JSON; of its tags those that a person has set."""
    from t4r_lab import tracking

    return {**asdict(row), "tags": tracking.user_tags(row.tags)}


def described_run_text(row: RunRow, changed: Mapping[str, object]) -> Lines:
    """A recorded run: state, data, knobs `changed` from their defaults, metrics beside the baselines, next commands."""
    began = datetime.fromtimestamp(row.started).strftime("%Y-%m-%d %H:%M")
    reason = f" ({row.reason})" if row.reason and row.status != "FINISHED" else ""
    lines: list[str] = [
        wrapped(f"run {row.run_id} ({row.name})", 4),
        wrapped(f"{row.status.lower()}{reason}, begun {began}, took {_time(row.seconds)}", 4),
        wrapped(f"{row.body} · {row.masking}, data {row.data} (digest {row.digest[:12]})", 4),
    ]
    knobs = [[path, _setting(value)] for path, value in changed.items()]
    lines += ["", table(["set apart from the defaults", "value"], knobs) if knobs else "every knob at its default"]
    for part, metrics in (("valid", row.valid), ("test", row.test)):
        looks = f", looked at {row.looks} time{'s' if row.looks != 1 else ''}" if part == "test" else ""
        if metrics:
            lines += ["", f"{PART_WORDS[part]}{looks}", scores({row.name: metrics, **row.baselines.get(part, {})})]
    lines += ["", *(wrapped(f"warning: {words}", 4) for words in row.all_warnings)] if row.all_warnings else []
    trust = "".join(f" --trust {package}" for package in trusted())
    commands = [command.format(run=row.run_id[:8]) for command in NEXT.get(row.status, ())]
    return lines_of([*lines, "", *(f"next: t4r-lab {command}{trust}" for command in commands)])


def runs_text(rows: Sequence[RunRow]) -> Lines:
    """A table of recorded runs, with the first ranking metric of each at its largest cutoff."""
    if not rows:
        return lines_of(["no runs"])
    deciding = next(iter(RANK_METRICS))
    cutoffs = [int(name.rpartition("@")[2]) for row in rows for name in row.valid if name.startswith(f"{deciding}@")]
    metric = f"{deciding}@{max(cutoffs)}" if cutoffs else deciding
    cells = [
        [
            row.run_id[:8],
            row.name,
            f"{row.body} · {row.masking}",
            Path(row.data).name,
            STATES.get(row.status, row.status.lower()),
            datetime.fromtimestamp(row.started).strftime("%m-%d %H:%M"),
            _figure(row.valid.get(metric)),
        ]
        for row in rows
    ]
    return lines_of([table(["run", "name", "model", "data", "state", "begun", metric], cells, [6])])


def trash_text(entries: Sequence[Deleted]) -> Lines:
    """A table of what was deleted, the latest first."""
    head = ["deleted", "kind", "name", "id"]
    rows = [[datetime.fromtimestamp(e.time).strftime("%m-%d %H:%M"), e.kind, e.name, e.id] for e in entries]
    return table(head, rows)


def comparison_text(comparison: Comparison, cases: Cases | None = None) -> Lines:
    """The text that `compare` prints: metrics, differing knobs, differences with intervals, warnings and `cases`."""
    lines = ["validation part", scores(comparison.metrics)]
    if comparison.specs:
        head = ["", *next(iter(comparison.specs.values()))]
        rows = [[path, *map(_setting, comparison.specs[path].values())] for path in comparison.chosen]
        lines += ["", "what differs", table(head, rows)] if rows else []
    notes = [*(d.sentence for d in comparison.differences), *comparison.remarks]
    notes += [f"warning: {label}: {words}" for label, warnings in comparison.warnings.items() for words in warnings]
    lines += ["", *notes] if notes else []
    return lines_of([*lines, *(_cases(cases) if cases else [])])


def _setting(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cases(analysis: Cases) -> list[str]:
    lines = []
    for word, cases in (("beats", analysis.won), ("loses to", analysis.lost)):
        lines += ["", f"{analysis.run} {word} {analysis.other}"]
        for case in cases:
            begin = " → ".join(item.title for item in case.items[-3:])
            lines.append(f"  {case.session}: {begin} → [{case.target.title}] rank {case.rank:g}, not {case.other:g}")
    return lines


def scores(columns: Mapping[str, Mapping[str, float]]) -> Lines:
    """A table with one row per metric and one column per run or baseline."""
    names = list(dict.fromkeys(name for metrics in columns.values() for name in metrics))
    rows = [[name, *(_figure(metrics.get(name)) for metrics in columns.values())] for name in names]
    return table(["", *columns], rows, range(1, len(columns) + 1))


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}" if abs(value) < 1e5 else f"{value:.4g}"


def frame_text(frame: pd.DataFrame, most: int) -> Lines:
    """The first rows of a data frame."""
    head = [str(name) for name in frame.columns]
    rows = [
        ["" if v is None else f"{v:.4g}" if isinstance(v, float) else str(v) for v in row]
        for row in frame.head(most).itertuples(index=False)
    ]
    numbers = [i for i, kind in enumerate(frame.dtypes) if kind.kind in "if"]
    more = [f"… and {len(frame) - most:,} more rows"] if len(frame) > most else []
    return lines_of([table(head, rows, numbers), *more])


def jobs_text(rows: Sequence[Status]) -> Lines:
    """A table with one row per job: its progress, running time and remaining time."""
    head = ["job", "state", "done", "ran", "left", "name"]
    lines = [
        [
            s.id,
            s.state,
            f"{100 * s.done // s.total} %" if s.total else "",
            _time(s.heartbeat - s.started) if s.started else "",
            "" if s.eta is None else _time(s.eta),
            s.name,
        ]
        for s in rows
    ]
    return table(head, lines, [2, 3, 4])


def studies_text(rows: Sequence[Listed]) -> Lines:
    """A table with one row per study: its state, begin, time of all trials and best objectives."""
    head = ["study", "state", "trials", "began", "ran", "best"]
    lines = [
        [
            s.name,
            s.status,
            str(s.trials),
            datetime.fromtimestamp(s.began).strftime("%m-%d %H:%M") if s.began else "",
            _time(s.seconds),
            _values(s.best),
        ]
        for s in rows
    ]
    reasons = [f"{s.name}: {s.reason}" for s in rows if s.reason]
    return lines_of([table(head, lines, [2, 4]), *reasons])


def _time(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def promotion_text(promotion: Promotion) -> Lines:
    """The version of the model in the registry, and its metrics and those of its baselines on the test part."""
    looks = (
        f"the test part has been looked at {promotion.looks} time{'s' if promotion.looks != 1 else ''} with this run"
    )
    beside = {promotion.run_id[:8]: promotion.test, **promotion.baselines}
    where = f"{promotion.model}@{promotion.alias} is version {promotion.version} now, {promotion.note}"
    return lines_of([where, "test part", scores(beside), looks, *(f"warning: {words}" for words in promotion.warnings)])


def study_text(result: StudyResult, trials: Sequence[Trial] = ()) -> str:
    """The result of a study, and a line for each of `trials`."""
    counts = ", ".join(f"{n} {state}" for state, n in result.counts.items())
    lines = [f"study {result.name}, {result.status}: {counts}"]
    lines += [f"  {t.number:>4}  {_values(t.values) or f'{t.state}: {t.reason}'.rstrip(': ')}" for t in trials]
    if not result.front:
        failed = next((t.reason for t in trials if t.reason), "see `t4r-lab studies show`")
        return lines_of([*lines, f"no trial has finished within the constraints ({failed})"])
    if result.start is not None and result.start.values:
        lines.append(f"starting spec: {_values(result.start.values)}")
    best, word = result.front[0], best_word(result.objectives)
    if len(result.objectives) > 1:
        lines.append(f"{word}, where no other trial beats them: trial {', '.join(str(t.number) for t in result.front)}")
        word = f"{word}, first at {result.objectives[0]}"
    lines.append(f"trial {best.number}, {word}: {_values(best.values)}")
    lines += [
        f"  {path}: {value:.4g}" if isinstance(value, float) else f"  {path}: {value}"
        for path, value in best.params.items()
    ]
    lines += [result.remark] if result.remark else []
    lines += [f"with the same values: trial {', '.join(map(str, result.ties))}"] if result.ties else []
    for objective, shares in result.importance.items():
        words = ", ".join(f"{path} {100 * share:.0f} %" for path, share in list(shares.items())[:5])
        lines.append(f"what mattered for {objective}: {words or result.no_importance.get(objective, '')}")
    if result.status == "stopped":
        lines.append("the same command continues it")
    trust = "".join(f" --trust {package}" for package in trusted())
    return lines_of([*lines, f"test it with: t4r-lab finalize {result.name}{trust}", f"recorded in {result.home}"])


def _values(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def final_text(final: Final) -> Lines:
    """Test metrics of both specs with their intervals and of the baselines, and the differences with intervals."""
    seeds = f"{final.seeds} seed{'s' if final.seeds > 1 else ''}"
    lines = [f"study {final.name}, trial {final.trial}, {seeds}; test part", ""]
    lines += [final.remark, ""] if final.remark else []
    labels = [label for label in final.test if not (final.remark and label == "tuned")]
    rows = []
    for name in final.test["untuned"]:
        cells = []
        for label in labels:
            value, half = final.test[label].get(name), final.interval.get(label, {}).get(name)
            cells.append(_figure(value) if half is None or value is None else f"{_figure(value)} ± {half:.4f}")
        rows.append([name, *cells])
    lines.append(table(["", *labels], rows, range(1, len(labels) + 1)))
    if final.seeds > 1:
        lines.append("± is half of the 95 % interval of the mean over seeds")
    looks = f"{final.looks} time{'s' if final.looks != 1 else ''}"
    warnings = [f"warning: {label}: {words}" for label in labels for words in final.warnings.get(label, [])]
    lines += ["", *(d.sentence for d in final.differences), f"the test part was looked at {looks}", *warnings]
    return lines_of(lines)
