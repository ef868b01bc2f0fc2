"""Files of the person's own machine, sent to the kernel in pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets as tr

from t4r_lab.base.errors import InputError
from t4r_lab.lab.parts.text import error_text
from t4r_lab.lab.state.uploads import Upload

HERE = Path(__file__).parent


class UploadButton(anywidget.AnyWidget):
    """A button that asks for a file and puts it into `folder`; `on_file` gets its path once it is there as a whole."""

    _esm = HERE / "upload.js"
    label = tr.Unicode("Upload a file").tag(sync=True)
    help = tr.Unicode("copy a file from your machine to the kernel's").tag(sync=True)

    def __init__(self, folder: Path, on_file: Callable[[Path], None]) -> None:
        super().__init__()
        self._folder, self._on_file = folder, on_file
        self._upload: Upload | None = None
        self.on_msg(self._receive)

    def _receive(self, _: object, content: Mapping[str, Any], buffers: Sequence[memoryview]) -> None:
        """Keep a piece and ask for the next, or end."""
        if content["kind"] == "cancel":
            self._end()
            return
        name = str(content["name"])
        try:
            if content["offset"] == 0:
                self._end()
                self._upload = Upload(self._folder, name, int(content["size"]))
            if self._upload is None:
                return  # of an upload that has failed or was canceled
            path = self._upload.add(int(content["offset"]), bytes(buffers[0]))
        except InputError as error:
            self._end()
            self.send({"kind": "refused", "name": name, "words": error_text(error)})
            return
        if path is None:
            self.send({"kind": "more", "name": name, "offset": self._upload.received})
        else:
            self._upload = None
            self.send({"kind": "done", "name": name, "words": f"uploaded as {path.name}"})
            self._on_file(path)

    def _end(self) -> None:
        """Forget what was received of an upload that isn't complete."""
        if self._upload is not None:
            self._upload.abandon()
            self._upload = None
