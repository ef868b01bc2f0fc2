"""The form of a new study: a table of knobs to search, their ranges, and the options of the study."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.documents import Document
from t4r_lab.base.errors import InputError
from t4r_lab.families.knobs import label, walk
from t4r_lab.lab.parts.fields import LABEL_WIDTH, Field, as_text
from t4r_lab.lab.parts.section import Section
from t4r_lab.lab.parts.table import Cell, Heading, Table
from t4r_lab.lab.parts.text import error_text, escape, message
from t4r_lab.lab.state.cost import CostEstimate
from t4r_lab.lab.state.draft import Draft
from t4r_lab.spec import RunSpec, head_name
from t4r_lab.spec.domains import Domain, parse_choices
from t4r_lab.spec.space import SEARCH_PRESETS, search_space, searchable
from t4r_lab.spec.study_options import Plan, StudyOptions, judged_metrics, time_words
from t4r_lab.training.assembly import fitting
from t4r_lab.tuning.studies.storage_address import HELP, address

KNOBS = [
    Heading("knob", "knob"),
    Heading("now", "trial 0", help="the value of the starting spec"),
    Heading("range", "its own range"),
]
OF_DATA = ("model.inputs.features.", "model.towers.", "model.heads.")
"""Where the data decide which choices a knob has."""
SHOWN_FIRST = ("objectives", "trials", "minutes", "workers")
"""Options of a study that are always visible; the others are folded away."""


class RangeRow(w.HBox):
    """The search range of one ticked knob: ends and scale, or choices. `on_change` is called after each edit."""

    def __init__(self, path: str, domain: Domain, on_change: Callable[[], None]) -> None:
        self.path, self.domain = path, domain
        name, small = label(path), {"style": {"description_width": "initial"}, "layout": {"width": "7rem"}}
        self.controls: list[w.ValueWidget]
        if domain.choices:
            shown = ", ".join(c if isinstance(c, str) else json.dumps(c) for c in domain.choices)
            self.controls = [
                w.Text(
                    shown,
                    description="choices",
                    continuous_update=False,
                    tooltip=f"{path}: values with commas between",
                    style=small["style"],
                    layout={"width": "20rem"},
                ),
            ]
        else:
            self.controls = [
                w.FloatText(domain.low, description="from", tooltip=f"{path}: lower end, included", **small),
                w.FloatText(domain.high, description="to", tooltip=f"{path}: upper end, included", **small),
                w.Checkbox(
                    domain.log,
                    description="log scale",
                    indent=False,
                    layout={"width": "auto"},
                    tooltip=f"{path}: sampled on a log scale",
                ),
            ]
        for control in self.controls:
            control.observe(lambda _: on_change(), "value")
        title = w.HTML(f'{escape(name)}<div class="t4r-under">{escape(path)}</div>', layout={"width": "9rem"})
        super().__init__([title, *self.controls])
        self.add_class("t4r-range")

    @property
    def content(self) -> Document | None:
        """Content of a `Range`; None for the knob's default range."""
        if self.domain.choices:
            edited = parse_choices(self.controls[0].value, self.path, f"search {self.path}")
            return None if edited["choices"] == list(self.domain.choices) else edited
        low, high, log = (control.value for control in self.controls)
        if (low, high, log) == (self.domain.low, self.domain.high, self.domain.log):
            return None
        return {"low": low, "high": high, "log": log, **({} if log else {"step": self.domain.step})}


class SearchForm(w.VBox):
    """A form for `StudyOptions`; the study starts from the spec of the draft.

    State: `table.selected` (the ticked paths), `content` (the edited options), and derived from them `plan` or
    `error`. `on_start` gets the spec, the options, the study's name and its storage.
    """

    plan = tr.Instance(Plan, allow_none=True)
    error = tr.Unicode("")

    def __init__(
        self,
        draft: Draft,
        on_start: Callable[[RunSpec, StudyOptions, str, str | None], None],
        cost_estimate: CostEstimate | None = None,
    ) -> None:
        self.draft, self._on_start, self.cost_estimate = draft, on_start, cost_estimate
        self.content: Document = {}
        self.domains: dict[str, Domain] = {}
        self._elements = elements(draft.spec)
        self._rows: dict[tuple[str, Domain], RangeRow] = {}
        self._make_knobs()
        self._make_options()
        self.start = w.Button(description="Start", button_style="primary", tooltip="begin this study in the background")
        self.start.on_click(lambda _: self._start())
        self._message = w.HTML()
        super().__init__(self._arrange())
        self.table.observe(self._show_ranges, "selected")
        draft.observe(self._show_knobs, "revision")
        if cost_estimate is not None:
            cost_estimate.observe(self._show_message, "estimate")
        self._show_knobs()

    def _make_knobs(self) -> None:
        """Make the table of knobs, its presets and filter, and the ranges of ticked knobs."""
        self.presets = {
            name: w.Button(description=name, tooltip=f"tick the knobs of “{name}”") for name in SEARCH_PRESETS
        }
        for name, button in self.presets.items():
            button.on_click(lambda _, name=name: self.tick(name))
        self.clear = w.Button(description="Untick all", tooltip="search no knob")
        self.clear.on_click(lambda _: self.table.set_trait("selected", []))
        self.filter = w.Text(
            description="filter",
            placeholder="dropout, body, train …",
            style={"description_width": "initial"},
            layout={"width": "15rem"},
            tooltip="only knobs that hold every word typed here",
        )
        self.filter.observe(lambda change: self.table.set_trait("filter_text", change["new"]), "value")
        self.table: Table = Table(caption="Knobs to search", choose="many")
        self.table.add_class("t4r-knobs")
        self.ranges = w.VBox()

    def _make_options(self) -> None:
        """Make the fields of the study's name, storage and options."""
        self.name = w.Text(
            description="name of study",
            placeholder=self.draft.spec.name,
            style={"description_width": LABEL_WIDTH},
            layout={"width": "auto"},
            tooltip="name of the study; an existing one of the same search continues",
        )
        self.storage = w.Text(
            description="storage",
            placeholder="a file under the home",
            style={"description_width": LABEL_WIDTH},
            layout={"width": "auto"},
            tooltip=HELP,
            continuous_update=False,
        )
        self.storage.observe(lambda _: self.check(), "value")
        self.fields = {k.path: Field(k, self._edit) for k in walk(StudyOptions()) if k.path not in ("presets", "space")}

    def _arrange(self) -> list[w.Widget]:
        """The knobs beside their ranges and the options, and the line of the button beneath."""
        further = Section("Further options")
        folded = [field for path, field in self.fields.items() if path not in SHOWN_FIRST]
        further.fields.children = [*folded, self.storage]
        bar = w.HBox([w.HTML("presets"), *self.presets.values(), self.clear, self.filter])
        foot = w.HBox([self._message, self.start])
        bar.add_class("t4r-actions-bar")
        foot.add_class("t4r-foot")
        left, right = (
            w.VBox([bar, self.table]),
            w.VBox(
                [
                    self.ranges,
                    self.name,
                    *(self.fields[path] for path in SHOWN_FIRST),
                    further,
                ]
            ),
        )
        left.add_class("t4r-left")
        right.add_class("t4r-right")
        right.add_class("t4r-options")
        columns = w.HBox([left, right])
        columns.add_class("t4r-columns")
        return [columns, foot]

    @property
    def options(self) -> StudyOptions:
        """The options as edited.

        Raises
        ------
        InputError
            with the option that is wrong.
        """
        return StudyOptions.parse({**self.content, "space": {row.path: row.content for row in self.ranges.children}})

    def tick(self, preset: str) -> None:
        """Tick the knobs of a preset, in addition to those ticked."""
        try:
            domains = search_space(self.draft.spec, [preset], {})
        except InputError as error:
            self.error = error_text(error)
            return
        self.domains = {**domains, **self.domains}
        self._fill()
        self.table.selected = list(dict.fromkeys([*self.table.selected, *domains]))

    def _show_knobs(self, change: tr.Bunch | None = None) -> None:
        """Show the knobs of the present spec; ticked ones that it lacks are kept if their kind is ticked too.

        Ticks belong to a head or tower, not to its index: they are dropped if another one has that index now.
        """
        before, self._elements = self._elements, elements(self.draft.spec)
        moved = tuple(f"{path}." for path, name in before.items() if self._elements.get(path, name) != name)
        if moved:
            self.table.selected = [path for path in self.table.selected if not path.startswith(moved)]
        present = offered(self.draft)
        ticked = {path: domain for path, domain in self.domains.items() if path in self.table.selected}
        self.domains = {**present, **{path: domain for path, domain in ticked.items() if path not in present}}
        metrics = ", ".join(judged_metrics(self.draft.spec))
        objectives = self.fields["objectives"]
        objectives.help = f"up to three, with commas between; empty: {self.draft.spec.monitor}"
        objectives.control.tooltip = f"what is sought, any of {metrics}"
        self.name.placeholder = self.draft.spec.name
        self._fill()
        self._show_ranges()

    def _fill(self) -> None:
        now = self.draft.spec.flat()
        rows = [
            [
                Cell(label(path), label(path), under=path),
                Cell(as_text(now.get(path)), quiet=path not in now),
                Cell(domain.words, domain.words),
            ]
            for path, domain in self.domains.items()
        ]
        self.table.fill(KNOBS, rows, list(self.domains))

    def _show_ranges(self, change: tr.Bunch | None = None) -> None:
        ticked = [(path, self.domains[path]) for path in self.table.selected if path in self.domains]
        for path, domain in ticked:
            if (path, domain) not in self._rows:
                self._rows[path, domain] = RangeRow(path, domain, self.check)
        rows = tuple(self._rows[key] for key in ticked)
        if rows != self.ranges.children:
            self.ranges.children = rows
        self.clear.disabled = not rows
        self.check()

    def _edit(self, path: str, value: object) -> None:
        self.content = {**self.content, path: value}
        if value in (None, [], ""):
            del self.content[path]
        self.check()

    def check(self) -> None:
        """Update `plan` or `error` from the present state."""
        try:
            address(Path(), self.storage.value.strip())
            self.plan, self.error = (Plan.of(self.draft.spec, self.options), "") if self.ranges.children else (None, "")
        except InputError as error:
            self.plan, self.error = None, error_text(error)
        self._show_message()

    @tr.observe("error")
    def _show_message(self, change: tr.Bunch | None = None) -> None:
        draft = self.draft
        self.start.disabled = self.plan is None or bool(draft.obstacle)
        if self.error:
            self._message.value = message("error", self.error)
        elif draft.waiting or draft.schema is None:
            self._message.value = message("loading" if draft.waiting else "empty", draft.obstacle)
        elif draft.obstacle:
            self._message.value = message("error", f"Fix the spec in Architecture first: {draft.obstacle}")
        elif self.plan is None:
            self._message.value = message(
                "empty", "Tick knobs to search, or press a preset. Trial 0 is the spec in Architecture."
            )
        else:
            estimate = self.cost_estimate.estimate if self.cost_estimate else None
            self._message.value = message("note", words(self.plan, estimate.seconds if estimate else None))

    def _start(self) -> None:
        if self.plan is not None and not self.draft.obstacle:
            name, storage = self.name.value.strip() or self.draft.spec.name, self.storage.value.strip() or None
            self._on_start(self.draft.ready(), self.plan.options, name, storage)


def offered(draft: Draft) -> dict[str, Domain]:
    """Every path that can be searched, with the choices that the data allow; those that leave one are left out."""
    domains = searchable(draft.spec)
    if draft.schema is None or not draft.valid:
        return domains
    for path, domain in domains.items():
        if domain.choices and path.startswith(OF_DATA):
            domains[path] = replace(domain, choices=tuple(fitting(draft.spec, draft.schema, path, domain.choices)))
    return {path: domain for path, domain in domains.items() if len(domain.choices) != 1}


def elements(spec: RunSpec) -> dict[str, str]:
    """The path of each head and tower → its name or kind."""
    heads = {f"model.heads.{index}": head_name(head) for index, head in enumerate(spec.model.heads)}
    return heads | {f"model.towers.{index}": tower.body.kind for index, tower in enumerate(spec.model.towers)}


def words(plan: Plan, epoch: float | None) -> str:
    """A plan in one line, with its duration if the seconds per `epoch` are known.

    Such as ``2 knobs for ndcg@20; 30 trials of 4 to 20 s each: 2 to 10 min with 1 worker; trial 0 is gpt2-clm``.
    """
    options, knobs = plan.options, len(plan.space)
    parts = [f"{knobs} knob{'s' if knobs > 1 else ''} for {', '.join(plan.objectives)}"]
    if epoch is not None:
        shortest, longest = (epoch * epochs for epochs in plan.epochs)
        parts.append(time_words(shortest, longest, options.total_trials, options.workers, options.minutes))
    elif options.total_trials:
        parts.append(f"{options.total_trials} trials")
    parts += [f"no trial begins after {options.minutes:g} minutes"] if options.minutes else []
    return "; ".join([*parts, f"trial 0 is {plan.spec.name}", *plan.remarks])
