"""Reports as sentences, and on a terminal or in a notebook with a bar and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Self

from t4r_lab.base.reports import Baseline, Caution, Epoch, OnReport, Progress, Remark, Report, Stopped, TrialEnded
from t4r_lab.base.terminal import clean_line, say
from t4r_lab.spec import best_baseline


@contextmanager
def reporting(on_report: OnReport | None) -> Iterator[OnReport]:
    """Yield `on_report`, or a `Console` that is closed at the end."""
    if on_report is not None:
        yield on_report
        return
    with Console() as console:
        yield console


class Sentences:
    """Turn reports into lines of plain text; of progress, only the beginning of each stage."""

    def __init__(self) -> None:
        self._stage = ""
        self._skipped = 0
        self._baselines: dict[str, dict[str, float]] = {}

    def __call__(self, report: Report) -> str | None:
        """The line of `report`; None if there is nothing new to report."""
        if isinstance(report, Progress):
            before, self._stage = self._stage, report.stage
            return f"{report.stage} …" if report.stage != before else None
        if isinstance(report, Baseline):
            self._baselines[report.name] = report.metrics
            return f"baseline {report.name}: {_figures(report.metrics)}"
        if isinstance(report, Epoch):
            self._skipped = report.skipped
            return self._epoch(report)
        if isinstance(report, Stopped):
            self._stage = ""
            skipped = f", {self._skipped:,} sessions without a target skipped" if self._skipped else ""
            return f"training {report.reason}: best epoch {report.best_epoch}, {report.seconds:.0f} s{skipped}"
        if isinstance(report, TrialEnded):
            return _trial(report)
        if isinstance(report, Caution):
            return f"warning: {report.words}"
        return report.words if isinstance(report, Remark) else None

    def _epoch(self, report: Epoch) -> str:
        validation = self._beside_baseline(report.valid) or "no validation part"
        mark = " *" if report.best and report.valid else ""
        terms = f" ({', '.join(f'{n} {v:.4f}' for n, v in report.losses.items())})" if report.losses else ""
        return (
            f"epoch {report.epoch}/{report.epochs}  loss {report.train_loss:.4f}{terms}  {validation}  "
            f"{report.seconds:.1f} s{mark}"
        )

    def _beside_baseline(self, metrics: dict[str, float]) -> str:
        """The metrics, behind the first of them the best baseline's value of it."""
        first, *others = _figures(metrics).split("  ")
        metric = first.split(" ")[0]
        name = best_baseline(self._baselines, metric) if metric else None
        beside = [] if name is None else [f"({name} {self._baselines[name][metric]:.4f})"]
        return "  ".join([first, *beside, *others])


SECONDS = 10.0
"""Seconds between two lines on the progress of a stage."""


def _sees_bars() -> bool:
    """True if standard error is a terminal or a notebook, where a progress bar can be redrawn."""
    if sys.stderr.isatty():
        return True
    from tqdm import auto

    return auto.notebook_tqdm is not auto.std_tqdm


class Console:
    """An `OnReport` that draws on standard error.

    Lines are plain sentences; the bar is tqdm's, with the time left, and is removed when its stage ends. Without a
    terminal, as in a log, a line announces each stage the first time, and another its progress every `SECONDS`.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._sentences = Sentences()
        self._announced: set[str] = set()
        self._began = self._last_line = 0.0

    def __call__(self, report: Report) -> None:
        line = self._sentences(report)
        if isinstance(report, Progress):
            if line:
                self._close()
            if not _sees_bars():
                line = self._line(report, begins=line is not None)
            elif report.total:
                self._draw(report)
                return
        if isinstance(report, Stopped):
            self._announced.clear()
            self._close()
        if line:
            self._say(line)

    def _line(self, report: Progress, begins: bool) -> str | None:
        """The line of progress in a log, None if none is due."""
        now = time.monotonic()
        if begins:
            self._began = self._last_line = now
            if report.stage not in self._announced:
                self._announced.add(report.stage)
                return f"{report.stage} …"
        if not report.total or now - self._last_line < SECONDS:
            return None
        self._last_line = now
        left = round((now - self._began) / max(report.done, 1) * (report.total - report.done))
        return f"{report.stage}: {report.done:,} of {report.total:,} {report.unit}, {timedelta(seconds=left)} left"

    def _draw(self, report: Progress) -> None:
        from tqdm.auto import tqdm

        if self._bar is None:
            self._bar = tqdm(
                total=report.total,
                desc=clean_line(report.stage),
                unit=f" {report.unit}",
                leave=False,
                file=sys.stderr,
                dynamic_ncols=True,
                initial=report.done,
            )
        self._bar.update(report.done - self._bar.n)
        if "loss" in report.figures:
            self._bar.set_postfix_str(f"loss {report.figures['loss']:.3f}", refresh=False)

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(clean_line(line), file=sys.stderr)
        else:
            say(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()  # so that an error starts on a new line

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None


def _trial(report: TrialEnded) -> str:
    values = "  ".join(f"{name} {value:.4g}" for name, value in report.values.items())
    outcome = values if report.state == "finished" else f"{report.state}: {report.reason}".rstrip(": ")
    return f"trial {report.number}  {outcome}  {report.seconds:.1f} s{' *' if report.best else ''}"


def _figures(metrics: dict[str, float]) -> str:
    """Metrics at the last cutoff, and those without a cutoff, with four decimals."""
    cutoffs = [int(name.partition("@")[2]) for name in metrics if "@" in name]
    shown = [name for name in metrics if "@" not in name or name.endswith(f"@{max(cutoffs)}")]
    return "  ".join(f"{name} {metrics[name]:.4f}" for name in shown)
