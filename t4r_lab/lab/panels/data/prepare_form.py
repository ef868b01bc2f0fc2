"""Prepare form: a file or data frame of events, its columns with their roles, and the options of preparation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.documents import Document
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import Progress
from t4r_lab.data.pipeline.inspection import KEYS
from t4r_lab.families.knobs import walk
from t4r_lab.lab.panels.data.file_browser import FileBrowser
from t4r_lab.lab.panels.data.role_table import ColumnRoles, with_of, with_role
from t4r_lab.lab.panels.data.split_picture import split_picture
from t4r_lab.lab.panels.data.upload_button import UploadButton
from t4r_lab.lab.parts.fields import LABEL_WIDTH, Field
from t4r_lab.lab.parts.section import Section
from t4r_lab.lab.parts.text import error_text, escape, field_text, message
from t4r_lab.lab.state.views import Preview, Raw
from t4r_lab.spec.preparation import READING, PrepareOptions

BY_COLUMN = (*KEYS, "targets", "ignore", "kinds", "scopes")
"""Options set by the rows of columns."""
ELSEWHERE = ("features", "merlin_schema")
"""Options for the command line and Python alone."""
FIRST = ("split", "min_item_support", "min_session_length", "drop_repeats", "gap_minutes")
"""Options that are always visible; the others are in sections that open."""
FILE = ""

UPLOADS = "uploads"
"""Folder of the home for files from a person's own machine."""


class PrepareForm(w.VBox):
    """State: `frames` to choose from, `preview` of the chosen source, `doing` and `progress` while work is under way,
    `refusal` of the options, `taken` names of prepared data, and `asking`, the question whether to replace data that
    runs refer to: the next press of the button confirms, any edit cancels."""

    frames = tr.Dict(value_trait=tr.Unicode(), key_trait=tr.Unicode())
    """name of a data frame of the notebook → its library and size"""
    preview = tr.Instance(Preview, allow_none=True)
    refusal = tr.Instance(InputError, allow_none=True)
    doing = tr.Unicode("")
    progress = tr.Instance(Progress, allow_none=True)
    taken = tr.List(trait=tr.Unicode())
    asking = tr.Unicode("")

    def __init__(
        self,
        on_read: Callable[[Raw], None],
        on_options: Callable[[Document], None],
        on_prepare: Callable[[Raw, str, Document, bool], None],
        roots: Sequence[Path] = (Path(),),
    ) -> None:
        self._on_read, self._on_options, self._quiet, self._named = on_read, on_options, False, ""
        self.options: Document = {}
        """options that differ from the defaults, as `PrepareOptions` takes them"""
        self._make_source()
        self.files = FileBrowser(roots, lambda path: self.source.set_trait("value", str(path)))
        self.upload = UploadButton(roots[-1] / UPLOADS, lambda path: self.source.set_trait("value", str(path)))
        self.columns = ColumnRoles(self._set_role, lambda *of: self._set(with_of(self.options, *of)))
        self.fields = {
            k.path: Field(k, self.edit) for k in walk(PrepareOptions()) if k.path not in (*BY_COLUMN, *ELSEWHERE)
        }
        self.button = w.Button(description="Prepare", button_style="primary", tooltip="turn the events into sessions")
        self.button.on_click(
            lambda _: on_prepare(self.raw, self.name.value.strip(), dict(self.options), bool(self.asking))
        )
        self._table, self._message, self._name_note, self._split = w.HTML(), w.HTML(), w.HTML(), w.HTML()
        super().__init__(self._arrange())
        self.add_class("t4r-prepare")
        self.frame.observe(self._chosen, "value")
        self.source.observe(self._chosen, "value")
        self.name.observe(self._show_name, "value")
        self._show()

    def _make_source(self) -> None:
        """Make the controls of the source of events and of the name of the prepared data."""
        style: dict[str, object] = {"style": {"description_width": LABEL_WIDTH}, "layout": {"width": "auto"}}
        self.frame = w.Dropdown(
            description="events from",
            options=[("a file", FILE)],
            value=FILE,
            tooltip="a file, or a pandas or polars data frame of this notebook",
            **style,
        )
        self.source = w.Text(
            description="file",
            placeholder="path of a CSV, TSV, JSON lines, Parquet or RecBole file",
            continuous_update=False,
            tooltip="path of a file with one row per event",
            **style,
        )
        self.name = w.Text(
            description="save as",
            placeholder="name of the prepared data",
            tooltip="its folder under data/",
            continuous_update=False,
            **style,
        )

    def _arrange(self) -> list[w.Widget]:
        """The source, its reading options, its columns, the other options, and the line of the button beneath."""
        self._reading, self._more = Section("How the file is read"), Section("More options")
        self._reading.fields.children = [self.fields[name] for name in READING]
        self._more.fields.children = [f for name, f in self.fields.items() if name not in (*READING, *FIRST)]
        self._choices = w.VBox([*(self.fields[name] for name in FIRST), self._more])
        foot = w.HBox([self._message, self.button])
        foot.add_class("t4r-foot")
        top = [self.frame, self.source, self.files, self.upload, w.VBox([self.name, self._name_note])]
        return [*top, self._reading, self._table, self.columns, self._choices, self._split, foot]

    @property
    def raw(self) -> Raw:
        """The chosen source of the events."""
        return Raw(frame=self.frame.value) if self.frame.value else Raw(path=self.source.value.strip())

    def _chosen(self, change: tr.Bunch | None = None) -> None:
        if self._quiet:
            return
        for widget in (self.source, self.files, self.upload):
            widget.layout.display = "none" if self.frame.value else ""
        self.preview, self.refusal, self.asking = None, None, ""
        self.options = {key: value for key, value in self.options.items() if key not in (*BY_COLUMN, *READING)}
        for name in READING:
            self.fields[name].show(self.fields[name].knob.value)
        if raw := self.raw:
            if self.name.value in ("", self._named):  # a typed name is kept
                self._named = self.name.value = raw.name
            self._on_read(raw)

    def edit(self, path: str, value: object) -> None:
        """Set one option; an invalid value is refused beside its field at once."""
        voided = (path, *BY_COLUMN) if path in READING else (path,)  # other reading options may give other columns
        rest = {key: setting for key, setting in self.options.items() if key not in voided}
        self._set(rest if value in (None, "", []) else {**rest, path: value}, path in READING)

    def _set_role(self, column: str, role: str) -> None:
        row = self.columns.rows[column]
        now = row.reading.role
        if role == "feature" and now in KEYS and self.options.get(now) != column:
            row.show(row.reading)
            row.mark(f"its name says {now}: give that role to another column, or ignore this one")
        else:
            self._set(with_role(self.options, column, role))

    def _set(self, options: Document, read_again: bool = False) -> None:
        self.options, self.asking = options, ""
        try:
            PrepareOptions.parse(options)
        except InputError as error:
            self.refuse(error)
        else:
            self.refuse(None)
            if read_again and self.raw:
                self.preview = None
                self._on_read(self.raw)
            else:
                self._split.add_class("t4r-stale")
                self._on_options(dict(options))

    def refuse(self, error: InputError | None) -> None:
        """Show an error beside its field and columns, else beneath the form; None clears it."""
        option = error.path.split(".")[0] if error else ""
        for path, field in self.fields.items():
            field.error = field_text(error) if path == option else ""
        self.refusal = None if option in self.fields else error
        self.columns.mark(error)
        self._unfold(error)

    def _unfold(self, error: InputError | None) -> None:
        """Open the sections that hold the option of `error`, or one that its remedy names."""
        advised = error.options if error else ()
        for section in (self._reading, self._more):
            if any(field.error or field.knob.path in advised for field in section.fields.children):
                section.opened = True

    @tr.observe("frames")
    def _offer_frames(self, change: tr.Bunch) -> None:
        options = (("a file", FILE), *((f"{name} · {words}", name) for name, words in self.frames.items()))
        if options == tuple(self.frame.options):
            return
        chosen, self._quiet = self.frame.value, True
        try:
            self.frame.options = options
            self.frame.value = chosen if chosen in self.frames else FILE
        finally:
            self._quiet = False
        if self.frame.value != chosen:
            self._chosen()

    @tr.observe("taken")
    def _show_name(self, change: tr.Bunch | None = None) -> None:
        self.asking = ""
        again = self.name.value.strip() in self.taken
        note = "replaces the prepared data of that name; if runs refer to them you must confirm"
        self._name_note.value = f'<div class="t4r-help t4r-indent">{note}</div>' if again else ""

    @tr.observe("preview", "refusal", "doing", "progress", "asking")
    def _show(self, change: tr.Bunch | None = None) -> None:
        preview = self.preview
        self._reading.layout.display = "" if self.raw.path else "none"
        if change is None or change["name"] == "preview":
            self._table.value = rows(preview) if preview else ""
            self.columns.show(preview.columns if preview else ())
            self.columns.mark(preview.refusal if preview else None)
            self._unfold(preview.refusal if preview else None)
            self._choices.layout.display = "" if preview else "none"
            self._show_split(preview)
        refusal = self.refusal or (preview.refusal if preview else None)
        self.button.disabled = bool(self.doing) or preview is None or bool(preview.refusal or preview.split_refusal)
        self.button.description = "Replace them" if self.asking else "Prepare"
        self.button.button_style = "warning" if self.asking else "primary"
        if self.doing:
            self._message.value = message("loading", self.doing) + bar(self.progress)
        elif self.asking:
            self._message.value = message("error", self.asking)
        elif refusal:
            self._message.value = message("error", error_text(refusal))
        elif preview:
            notes = "".join(f"{note}. " for note in preview.notes)
            self._message.value = message("note", f"{notes}Correct roles and kinds where need be, then prepare.")
        else:
            self._message.value = message(
                "empty",
                "Choose a data frame or give the path of a file: its columns are read, and their roles guessed.",
            )

    def _show_split(self, preview: Preview | None) -> None:
        """Show the picture of the split; a refused one is an error beside its option."""
        self._split.value = split_picture(preview.split) if preview and preview.split else ""
        self._split.remove_class("t4r-stale")
        if preview and preview.split_refusal:
            self.refuse(preview.split_refusal)


def bar(progress: Progress | None) -> str:
    """HTML of a progress bar; empty while the total is unknown."""
    if progress is None or not progress.total:
        return ""
    share = 100 * progress.done / progress.total
    return (
        f'<div class="t4r-bar" role="progressbar" aria-label="{escape(progress.stage)}" aria-valuenow="{share:.0f}" '
        f'aria-valuemin="0" aria-valuemax="100"><div style="width: {share:.0f}%"></div></div>'
    )


def rows(preview: Preview) -> str:
    """The first rows as a scrollable HTML table; every text of the file is escaped."""
    head = "".join(f'<th scope="col">{escape(c.name)}</th>' for c in preview.columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in preview.rows)
    return (
        f'<div class="t4r-scroll" tabindex="0" role="region" aria-label="first rows of the events"><table class="t4r-plain">'
        f"<caption>First rows of {preview.events:,}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def plain_name(name: str) -> bool:
    """True if `name` can name a folder of prepared data.

    >>> [plain_name(name) for name in ("shop 2", "", "../shop", "a/b", ".shop")]
    [True, False, False, False, False]
    """
    return bool(name) and Path(name).name == name and not name.startswith(".")
