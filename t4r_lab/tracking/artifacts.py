"""The files of a run: below the home beside the database, or on the server, from which each is fetched when needed."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from t4r_lab.base.retries import Away, patiently
from t4r_lab.tracking import record_file
from t4r_lab.tracking.client import client_of, refused_upload, server


class Artifacts:
    """The files of runs of `home`, to read. What a server has is fetched once, and removed with this object, which
    has to be held while they are read."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._fetched: dict[tuple[str, str], Path] = {}
        self._scratch: Path | None = None

    def path(self, run_id: str, name: str) -> Path:
        """Where `name`, a file or folder of the run, can be read; nothing is there where the run has none."""
        if not server():
            return record_file.artifact_folder(self.home, run_id) / name
        if (run_id, name) not in self._fetched:
            self._fetched[run_id, name] = self._fetch(run_id, name)
        return self._fetched[run_id, name]

    def _fetch(self, run_id: str, name: str) -> Path:
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="t4r-lab-"))
            weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        folder = self._scratch / str(len(self._fetched))  # MLflow puts it there by the last part of its name
        folder.mkdir()
        client, _ = client_of(self.home)
        above = name.rpartition("/")[0]
        if any(found.path == name for found in client.list_artifacts(run_id, above or None)):
            return Path(client.download_artifacts(run_id, name, str(folder)))
        return folder / name


def put(home: Path, run_id: str, folder: Path) -> None:
    """Add everything in `folder` to the run's files, by its own paths."""
    if server():
        patiently(lambda: _upload(home, run_id, folder))
        return
    if refusal := record_file.gone(home):  # or else its folders would be made again where it was
        raise refusal
    shutil.copytree(
        folder, record_file.artifact_folder(home, run_id), copy_function=shutil.copyfile, dirs_exist_ok=True
    )


def _upload(home: Path, run_id: str, folder: Path) -> None:
    client, _ = client_of(home)
    try:
        client.log_artifacts(run_id, str(folder))
    except Away as error:
        if refusal := refused_upload(error):
            raise refusal from error
        raise
