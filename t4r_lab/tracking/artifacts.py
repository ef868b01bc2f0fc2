"""The files of a run: in the home beside the database, or on the server, from which each is fetched when needed."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from t4r_lab.base.retries import Unavailable, patiently
from t4r_lab.tracking import record_file
from t4r_lab.tracking.client import client_of, refused_upload, server


class Artifacts:
    """Read access to the files of runs of `home`.

    Files of a server are fetched once and removed with this object: keep a reference to it while reading them.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._fetched: dict[tuple[str, str], Path] = {}
        self._scratch: Path | None = None

    def path(self, run_id: str, name: str) -> Path:
        """Local path of `name`, a file or folder of the run; nothing exists at it if the run lacks `name`."""
        if not server():
            return record_file.artifact_folder(self.home, run_id) / name
        if (run_id, name) not in self._fetched:
            self._fetched[run_id, name] = self._fetch(run_id, name)
        return self._fetched[run_id, name]

    def _fetch(self, run_id: str, name: str) -> Path:
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="t4r-lab-"))
            weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        folder = self._scratch / str(len(self._fetched))  # MLflow names the copy in it by the last part of `name`
        folder.mkdir()
        client, _ = client_of(self.home)
        parent = name.rpartition("/")[0]
        if any(entry.path == name for entry in client.list_artifacts(run_id, parent or None)):
            return Path(client.download_artifacts(run_id, name, str(folder)))
        return folder / name


def put(home: Path, run_id: str, folder: Path) -> None:
    """Add the contents of `folder` to the run's files, under the same relative paths."""
    if server():
        patiently(lambda: _upload(home, run_id, folder))
        return
    if refusal := record_file.missing_home(home):  # else a deleted home would be created again
        raise refusal
    shutil.copytree(
        folder, record_file.artifact_folder(home, run_id), copy_function=shutil.copyfile, dirs_exist_ok=True
    )


def _upload(home: Path, run_id: str, folder: Path) -> None:
    client, _ = client_of(home)
    try:
        client.log_artifacts(run_id, str(folder))
    except Unavailable as error:
        if refusal := refused_upload(error):
            raise refusal from error
        raise
