"""The page of one run: its head above the metrics, and beneath them its spec, origin, data, environment and log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.errors import InputError
from t4r_lab.lab.panels.runs.run_head import Edit, RunHead, write
from t4r_lab.lab.parts.section import Section
from t4r_lab.lab.parts.text import duration, error_text, escape, message, number
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.views import RunSummary
from t4r_lab.runs.recorded.run_details import RunDetails, over_seeds

PACKAGES = ("t4r-lab", "torch", "transformers", "polars", "mlflow", "optuna")
"""Whose versions are shown; all others are folded away."""
SECTIONS = ("Spec", "Origin", "Data", "Environment", "Log")


class RunBody(w.VBox):
    """The sections of a run's page. State: `details`."""

    details = tr.Instance(RunDetails, allow_none=True)

    def __init__(self, open_run: Callable[[str], None]) -> None:
        self._open_run = open_run
        self.sections = {name: Section(name, opened=name == "Spec") for name in SECTIONS}
        super().__init__(list(self.sections.values()))
        self.layout.display = "none"

    @tr.observe("details")
    def _show(self, change: tr.Bunch | None = None) -> None:
        details = self.details
        self.layout.display = "none" if details is None else ""
        if details is None:
            return
        content: dict[str, tuple[str, list[w.Widget]]] = {
            "Spec": self._spec(details),
            "Origin": self._origin(details),
            "Data": ("", [w.HTML(data(details))]),
            "Environment": ("", [w.HTML(environment(details))]),
            "Log": ("", [w.HTML(f'<pre class="t4r-log">{escape(details.log)}</pre>')] if details.log else []),
        }
        for name, (summary, children) in content.items():
            section = self.sections[name]
            section.summary, section.fields.children = summary, children
            section.layout.display = "" if children else "none"

    def _spec(self, details: RunDetails) -> tuple[str, list[w.Widget]]:
        changed = details.spec.changed() if details.spec else {}
        rows = [(path, value) for path, value in changed.items()]
        parts = [w.HTML(_table("What was set", ("knob", "value"), rows))] if rows else []
        if details.closest is not None:
            title = f"Changed since {details.closest.name}, the earlier run on these data that is most alike"
            changes = [(path, *values) for path, values in details.differing.items()]
            html = _table(title, ("knob", details.closest.name, "this run"), changes) if changes else ""
            parts.append(
                w.HTML(html or f'<div class="t4r-help">The same spec as {escape(details.closest.name)}.</div>')
            )
        lost = (
            [w.HTML(message("warning", f"not in the record any more: {', '.join(details.lost)}"))]
            if details.lost
            else []
        )
        count = f"{len(changed)} knob{'s' if len(changed) != 1 else ''} set"
        return count, [*lost, *parts]

    def _origin(self, details: RunDetails) -> tuple[str, list[w.Widget]]:
        """Buttons that open the runs that this one is related to."""
        words = [f"Trained by the study {details.study}."] if details.study else []
        repeated = {row.run_id for row in details.repeats.values()}
        alike = [row for row in (details.closest,) if row is not None and row.run_id not in repeated]
        related = [("most alike", row) for row in alike]
        related += [(f"the same with seed {seed}", row) for seed, row in details.repeats.items()]
        buttons = [self._button(words, row.name, row.run_id) for words, row in related]
        line = w.HBox(buttons)
        line.add_class("t4r-actions-bar")
        text = [w.HTML(f'<div class="t4r-help">{escape(" ".join(words))}</div>')] if words else []
        means = [w.HTML(seed_means(details))] if details.repeats else []
        summary = f"{len(details.repeats)} with another seed" if details.repeats else ""
        return summary, [*text, *([line] if buttons else []), *means]

    def _button(self, words: str, name: str, run_id: str) -> w.Button:
        button = w.Button(description=name, tooltip=f"open {name}: {words}")
        button.on_click(lambda _: self._open_run(run_id))
        return button


class RunPageController:
    """Controller of a run's page: reads its details, and writes what people change, on threads."""

    def __init__(
        self, home: Path, background: Background, open_run: Callable[[str], None], on_change: Callable[[], None]
    ) -> None:
        self.home, self.background, self._on_change = home, background, on_change
        self.head, self.body = RunHead(self._save), RunBody(open_run)
        self.head.layout.display = "none"
        self._run: RunSummary | None = None
        self._edits: list[Edit] = []
        """those that are not written yet, in the order of typing"""
        self._is_writing = False
        self._written = 0
        """count of edits written; details that were read before the last of them are read again"""

    def choose(self, run: RunSummary | None) -> None:
        """Show the page of `run`; None for no page."""
        if run == self._run:
            return
        same = run is not None and self._run is not None and run.run_id == self._run.run_id
        self._run = run
        if not same:
            self.head.error, self.body.details = "", None
            self.head.layout.display = "none"
        if run is not None:
            self._read(run.run_id)

    def _read(self, run_id: str) -> None:
        from t4r_lab.runs.recorded.run_details import run_details

        written = self._written

        def show(details: RunDetails) -> None:
            if self._run is None or self._run.run_id != run_id:
                return
            if self._written != written:
                self._read(run_id)
                return
            self.head.show(run_id, details.row.name, details.notes, details.tags)
            self.head.layout.display, self.body.details = "", details

        self.background.run(lambda: run_details(run_id, home=self.home), show, self._failed)

    def _save(self, edit: Edit) -> None:
        with self.background.lock:
            self._edits.append(edit)
            self._write_next()

    def _write_next(self) -> None:
        """Write one edit after the other, so that the last one of a field is the one that stays."""
        if self._is_writing or not self._edits:
            return
        edit, self._is_writing = self._edits.pop(0), True

        def written(_: None) -> None:
            self._is_writing, self._written = False, self._written + 1
            self.head.saved(edit)
            same = (edit.run_id, edit.field)
            self._edits = [replace(e, before=edit.text) if (e.run_id, e.field) == same else e for e in self._edits]
            self._on_change()
            self._write_next()

        def failed(error: InputError) -> None:
            self._is_writing = False
            self._failed(error)
            self._write_next()

        self.background.run(lambda: write(self.home, edit), written, failed)

    def _failed(self, error: InputError) -> None:
        self.head.error = error_text(error)


# ── as HTML ─────────────────────────────────────────────────────────────────────────────────────


def data(details: RunDetails) -> str:
    """HTML of the data of a run and the checks of their split."""
    checks = [(finding.level, finding.words) for finding in details.checks]
    path = f'<div class="t4r-help">{escape(details.row.data)} · digest {escape(details.row.digest[:12])}</div>'
    return path + (_table("Checks of the split", ("", "check"), checks) if checks else "")


def seed_means(details: RunDetails) -> str:
    """HTML of the validation metrics over the runs that differ by the seed alone."""
    means = over_seeds(details)
    if not means:
        return ""
    count = next(iter(means.values())).count
    rows = [
        (name, f"{number(of.mean)} ± {number(of.half)}", number(of.lowest), number(of.highest))
        for name, of in means.items()
    ]
    caption = f"Mean over {count} seeds, with its 95 % interval (Student's t), on the validation part"
    return _table(caption, ("metric", "mean", "lowest", "highest"), rows)


def environment(details: RunDetails) -> str:
    """HTML of the machine, the code and the packages of a run."""
    first, *packages = details.environment.splitlines() or [""]
    versions = dict(line.partition("==")[::2] for line in packages)
    shown = [(name, versions[name]) for name in PACKAGES if name in versions]
    rows = [
        ("machine", details.row.host),
        ("platform", first.removeprefix("# ")),
        ("commit", details.commit),
        ("duration", duration(details.row.seconds)),
        ("ended", details.row.reason),
        *shown,
    ]
    rest = (
        f"<details><summary>all {len(packages)} packages</summary><pre>{escape(chr(10).join(packages))}</pre></details>"
    )
    return _table("", ("", ""), [row for row in rows if row[1]]) + (rest if packages else "")


def _table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    label = f' role="region" aria-label="{escape(caption)}"' if caption else ""
    return (
        f'<div class="t4r-scroll" tabindex="0"{label}><table class="t4r-plain t4r-narrow"><caption>{escape(caption)}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
