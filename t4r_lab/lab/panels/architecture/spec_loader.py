"""A spec from elsewhere: pasted, from a file of this machine, or uploaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import ipywidgets as w
import traitlets as tr

from t4r_lab.base.errors import InputError
from t4r_lab.lab.parts.text import error_text, message
from t4r_lab.spec import RunSpec


class SpecLoader(w.VBox):
    """A field to paste into, a path, an upload. `error` says why a spec couldn't be loaded."""

    error = tr.Unicode("")

    def __init__(self, on_load: Callable[[RunSpec, str], None]) -> None:
        self._on_load = on_load
        label: dict[str, object] = {"style": {"description_width": "8.5rem"}, "layout": {"width": "auto"}}
        self.text = w.Textarea(
            description="spec to paste",
            placeholder="name: …\ndata: {path: …}\nmodel: …",
            rows=5,
            continuous_update=False,
            tooltip="YAML or JSON, such as the spec of a run",
            **label,
        )
        self.path = w.Text(
            description="or its path",
            placeholder="recipes/…yaml",
            continuous_update=False,
            tooltip="a YAML or JSON file on the machine of the notebook",
            **label,
        )
        self.upload = w.FileUpload(
            accept=".yaml,.yml,.json", description="Upload a file", tooltip="a YAML or JSON file on your machine"
        )
        self.load = w.Button(description="Load", tooltip="edit this spec instead of the present one")
        self._message = w.HTML()
        line = w.HBox([self.load, self.upload])
        line.add_class("t4r-adder")
        super().__init__([self.text, self.path, line, self._message])
        self.load.on_click(lambda _: self._load())
        self.upload.observe(self._uploaded, "value")

    def _load(self) -> None:
        if self.text.value.strip():
            self._try(lambda: RunSpec.loads(self.text.value, "the pasted spec"), "the pasted spec")
        elif path := self.path.value.strip():
            self._try(lambda: RunSpec.load(path), path)
        else:
            self.error = "nothing to load; paste a spec or give the path of a file"

    def _uploaded(self, change: tr.Bunch | None = None) -> None:
        for file in self.upload.value:
            name, content = str(file["name"]), bytes(file["content"])
            self._try(partial(_parse, content, name), name)

    def _try(self, read: Callable[[], RunSpec], name: str) -> None:
        try:
            spec = read()
        except InputError as error:
            self.error = error_text(error)
            return
        self.error, self.text.value, self.path.value = "", "", ""
        self._on_load(spec, name)

    @tr.observe("error")
    def _show(self, change: tr.Bunch | None = None) -> None:
        self._message.value = message("error", self.error)


def _parse(content: bytes, name: str) -> RunSpec:
    """The spec in `content` of the file `name`."""
    try:
        return RunSpec.loads(content.decode("utf-8"), name)
    except UnicodeDecodeError:
        raise InputError(name, "not a text file", "give a YAML or JSON spec") from None
