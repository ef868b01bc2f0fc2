"""Results as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from t4r_lab.analysis import Cases
    from t4r_lab.comparison import Comparison
    from t4r_lab.jobs import Status
    from t4r_lab.reuse import Promotion
    from t4r_lab.runner import RunResult
    from t4r_lab.tuning.finalize import Final
    from t4r_lab.tuning.lead import StudyResult
    from t4r_lab.tuning.study import Trial


def run_text(result: RunResult) -> str:
    if result.status != "FINISHED":
        return f"run {result.run_id[:8]} was stopped; go on with: t4r-lab train --resume {result.run_id[:8]}"
    parts = {"valid": result.valid, "test": result.test}
    blocks = [
        f"{part} part\n{table({result.name: metrics, **result.baselines.get(part, {})})}"
        for part, metrics in parts.items()
        if metrics
    ]
    warnings = ["\n".join(f"warning: {words}" for words in result.warnings)] if result.warnings else []
    return "\n\n".join([f"run {result.run_id} ({result.name})", *blocks, *warnings, f"recorded in {result.home}"])


def comparison_text(found: Comparison, cases: Cases | None = None) -> str:
    lines = ["validation part", table(found.metrics)]
    if found.specs:
        lines += [
            "",
            "what differs",
            *(f"  {p}: " + ", ".join(f"{k} {v}" for k, v in d.items()) for p, d in found.specs.items()),
        ]
    lines += ["", *(d.sentence for d in found.differences), *found.remarks]
    lines += [f"warning: {label}: {words}" for label, warnings in found.warnings.items() for words in warnings]
    return "\n".join([*lines, *(_cases(cases) if cases else [])]).rstrip()


def _cases(found: Cases) -> list[str]:
    lines = []
    for word, cases in (("beats", found.won), ("loses to", found.lost)):
        lines += ["", f"{found.run} {word} {found.other}"]
        for case in cases:
            begin = " → ".join(item.title for item in case.items[-3:])
            lines.append(f"  {case.session}: {begin} → [{case.target.title}] place {case.rank:g}, not {case.other:g}")
    return lines


def table(rows: dict[str, dict[str, float]]) -> str:
    """Rows of metrics, numbers to the right."""
    names = list(dict.fromkeys(name for metrics in rows.values() for name in metrics))
    first, widths = max(len(label) for label in rows), {name: max(len(name), 10) for name in names}
    lines = [" " * first + "".join(f"  {name:>{widths[name]}}" for name in names)]
    for label, metrics in rows.items():
        cells = {name: f"{metrics[name]:.4f}" if name in metrics else "–" for name in names}
        lines.append(f"{label:<{first}}" + "".join(f"  {cells[name]:>{widths[name]}}" for name in names))
    return "\n".join(lines)


def _share(status: Status) -> str:
    return f"{100 * status.done // status.total:>3} %" if status.total else "     "


def _left(status: Status) -> str:
    """The time to the end, as h:mm:ss."""
    return f"{timedelta(seconds=round(status.eta))!s:>8} left" if status.eta is not None else " " * 13


def jobs_text(rows: Sequence[Status]) -> str:
    """A line a job."""
    return "\n".join(f"{s.id}  {s.state:<9} {s.stage:<18} {_share(s)}  {_left(s)}  {s.name}" for s in rows)


def promotion_text(found: Promotion) -> str:
    """Where the model stands in the registry, and how it and its baselines do on the test part."""
    looks = f"the test part has been looked at {found.looks} time{'s' if found.looks != 1 else ''} with this run"
    scores = {found.run_id[:8]: found.test, **found.baselines}
    where = f"{found.model}@{found.alias} is version {found.version} now, {found.note}"
    return "\n".join([where, "test part", table(scores), looks, *(f"warning: {words}" for words in found.warnings)])


def study_text(result: StudyResult, trials: Sequence[Trial] = ()) -> str:
    """What a study has found, and a line for each of `trials`."""
    counts = ", ".join(f"{n} {state}" for state, n in result.counts.items())
    lines = [f"study {result.name}, {result.status}: {counts}"]
    lines += [f"  {t.number:>4}  {_values(t.values) or f'{t.state}: {t.reason}'.rstrip(': ')}" for t in trials]
    if not result.front:
        failed = next((t.reason for t in trials if t.reason), "see `t4r-lab studies show`")
        return "\n".join([*lines, f"no trial has finished within the constraints ({failed})"])
    if result.start is not None and result.start.values:
        lines.append(f"starting spec: {_values(result.start.values)}")
    word = "best" if len(result.objectives) == 1 else f"of {len(result.front)} that no other beats, best at the first"
    best = result.front[0]
    lines.append(f"trial {best.number}, {word}: {_values(best.values)}")
    lines += [f"  {path}: {value:.4g}" if isinstance(value, float) else f"  {path}: {value}"
              for path, value in best.params.items()]  # fmt: skip
    for objective, shares in result.importance.items():
        if shares:
            words = ", ".join(f"{path} {100 * share:.0f} %" for path, share in list(shares.items())[:5])
            lines.append(f"what mattered for {objective}: {words}")
    if result.status == "stopped":
        lines.append("go on with the same command")
    return "\n".join([*lines, f"test it with: t4r-lab finalize {result.name}", f"recorded in {result.home}"])


def _values(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def final_text(final: Final) -> str:
    """Test metrics of both specs with their intervals, the baselines, and what the differences are worth."""
    seeds = f"{final.seeds} seed{'s' if final.seeds > 1 else ''}"
    lines = [f"study {final.name}, trial {final.trial}, {seeds}; test part", ""]
    labels = list(final.test)
    lines.append(" " * 14 + "".join(f"  {label:>17}" for label in labels))
    for name in final.test["tuned"]:
        cells = []
        for label in labels:
            value, half = final.test[label].get(name), final.interval.get(label, {}).get(name)
            cell = "–" if value is None else f"{value:.4f}"
            cells.append(f"{cell} ± {half:.4f}" if half is not None and value is not None else cell)
        lines.append(f"{name:<14}" + "".join(f"  {cell:>17}" for cell in cells))
    if final.seeds > 1:
        lines.append("± is half of the 95 % interval of the mean over seeds")
    looks = f"{final.looks} time{'s' if final.looks != 1 else ''}"
    warnings = [f"warning: {variant}: {words}" for variant, found in final.warnings.items() for words in found]
    lines += ["", *(d.sentence for d in final.differences), f"the test part was looked at {looks}", *warnings]
    return "\n".join(lines)
