"""Files received in pieces: kept under a hidden name until they are whole."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

from t4r_lab.base.errors import InputError, shortened

PARTIAL = ".uploading"
"""End of the name of a file that isn't whole yet."""
LONGEST = 100
"""Characters of a name that are kept."""


class Upload:
    """One file on its way into `folder`.

    Raises
    ------
    InputError
        for a name that can't be one of a file here, or if the folder can't be written, such as on a full disk.
    """

    def __init__(self, folder: Path, name: str, size: int) -> None:
        """`size` is that of the whole file in bytes; what an upload that broke off has left is removed."""
        self.folder, self.name, self.size, self.received = folder, _safe(name), size, 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(f".*{PARTIAL}"):
                left.unlink(missing_ok=True)
            self._partial.write_bytes(b"")
        except OSError as error:
            raise self._refusal(error) from None

    @property
    def _partial(self) -> Path:
        return self.folder / f".{self.name}{PARTIAL}"

    def add(self, offset: int, piece: bytes) -> Path | None:
        """Keep the piece at byte `offset`; the path of the file once it is whole, under a name that was free."""
        if offset != self.received or len(piece) > self.size - offset or (not piece and self.size):
            raise InputError(self.name, "a piece was lost on the way", "upload it again")
        try:
            with self._partial.open("ab") as file:
                file.write(piece)
            self.received += len(piece)
            if self.received < self.size:
                return None
            path = next(path for n in count(1) if not (path := self._named(n)).exists())
            return self._partial.rename(path)
        except OSError as error:
            raise self._refusal(error) from None

    def abandon(self) -> None:
        """Remove what was received."""
        self._partial.unlink(missing_ok=True)

    def _named(self, number: int) -> Path:
        stem, dot, ends = self.name.partition(".")
        return self.folder / (self.name if number == 1 else f"{stem}-{number}{dot}{ends}")

    def _refusal(self, error: OSError) -> InputError:
        return InputError(
            self.folder, f"it can't be written ({error.strerror or error})", "free some space, or move it"
        )


def _safe(name: str) -> str:
    """The name of an uploaded file here.

    >>> _safe("my events (2024).csv"), _safe("../../etc/passwd"), _safe(".hidden.csv")
    ('my events (2024).csv', 'passwd', 'hidden.csv')
    """
    last = re.split(r"[/\\\\]", name)[-1].lstrip(". ")
    safe = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*')[-LONGEST:]
    if not safe:
        raise InputError("upload", f"{shortened(name)} is not a name of a file", "rename it")
    return safe
