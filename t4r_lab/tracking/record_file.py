"""The record as a file: ``mlflow.db`` in the home, checked before MLflow opens it.

MLflow writes the home's path into it. After the home was moved or copied, the first opening updates these paths, so
that the MLflow UI works too.
"""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.base.files import locked

FOLDER = "t4r.folder"
"""The tag with the folder of a run's checkpoints."""
BELOW_ARTIFACTS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Columns of URIs below that of the artifact folder."""
BELOW_HOME = (("tags", "value", f"key = '{FOLDER}'"), ("datasets", "dataset_source", "1"))
"""Columns of paths that may lie below the home, with the condition for their rows."""
LOCK_SECONDS = 120.0
"""Seconds to wait for another process; creating a database takes ten."""
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
SAVED = "bring back a copy of it, or move it away to start again without its runs"


def database_file(home: Path) -> Path:
    """The SQLite file of a home's record."""
    return home / "mlflow.db"


def artifact_root(home: Path) -> Path:
    """The folder of a home's artifacts."""
    return home / "artifacts"


def artifact_folder(home: Path, run_id: str) -> Path:
    """The folder of a run's artifacts: beside the database, even if that still has paths of an earlier home."""
    return artifact_root(home) / run_id / "artifacts"


def missing_home(home: Path) -> InputError | None:
    """The refusal of a home that was deleted, moved or unmounted after it was opened; None if it exists."""
    if database_file(home).is_file() and database_file(home).stat().st_size:
        return None
    return InputError(
        home, "the home is gone, or its mlflow.db (deleted, moved, unmounted?)", "bring it back, then resume"
    )


def check(home: Path) -> None:
    """Refuse a damaged or unreadable database at once; MLflow would try to open it for 101 s.

    Raises
    ------
    InputError
        if it can't be opened or is damaged.
    """
    path = database_file(home)
    if not path.exists():
        return
    try:
        path.open("rb").close()
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=0)) as base:
            base.execute("SELECT COUNT(*) FROM sqlite_master")
    except OSError as error:
        raise InputError(path, f"cannot be opened ({error.strerror})", f"fix that, or set {homes.VARIABLE}") from None
    except sqlite3.DatabaseError as error:
        if refusal := damaged(str(error), path):
            raise refusal from None
        if "locked" not in str(error):  # a lock is temporary: writers wait for it
            raise InputError(path, f"cannot be opened ({error})", f"fix that, or set {homes.VARIABLE}") from None


def damaged(message: str, path: Path) -> InputError | None:
    """The refusal if SQLite's `message` means a damaged file, else None."""
    words = ("malformed", "not a database", "no such table", "no such column", "file is encrypted")
    if any(word in message for word in words):
        return InputError(path, "the database is damaged", SAVED)
    return None


def of_another_mlflow(message: str, path: Path, url: str) -> InputError | None:
    """The refusal if MLflow's `message` means tables of another version of it, else None."""
    match = re.search(r"found version (\w+)|revision identified by '(\w+)'", message)
    if match is None:
        return None
    import mlflow
    from mlflow.store import db_migrations

    revision = match[1] or match[2]
    is_known = any(Path(db_migrations.__path__[0], "versions").glob(f"{revision}_*.py"))
    version = "an older" if is_known else "another, newer"
    problem = f"made by {version} MLflow (tables {revision}) than {mlflow.__version__}"
    if is_known:
        return InputError(path, problem, f"save a copy of the file, then run `mlflow db upgrade '{url}'`")
    return InputError(path, problem, "install the MLflow version that made it")


@contextmanager
def opening_lock(home: Path) -> Iterator[None]:
    """Hold the lock for creating tables and updating paths; a process that may only read does neither, unlocked."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(home / ".mlflow.lock", LOCK_SECONDS))
        except BlockingIOError:
            raise InputError(
                home, "another process has been opening the record for minutes", "end that process"
            ) from None
        except OSError as error:
            if error.errno not in READ_ONLY or not database_file(home).exists():
                raise
        yield


@contextmanager
def created_completely(home: Path) -> Iterator[None]:
    """Create the database completely: an unfinished one, after some of hundreds of steps, is replaced."""
    making, path = home / ".mlflow.making", database_file(home)
    if making.exists():
        path.unlink(missing_ok=True)
    elif not path.exists():
        making.touch()
    yield
    making.unlink(missing_ok=True)


def update_paths(home: Path, experiment: str) -> None:
    """Update the paths in the record of a home that was moved or copied, if this process may write.

    The record of a home that is reached by another path, through a link or a mount, is left unchanged.
    """
    path, new = database_file(home), artifact_root(home).as_uri()
    if not path.exists():
        return
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as base, suppress(sqlite3.OperationalError):
        row = base.execute("SELECT artifact_location FROM experiments WHERE name = ?", [experiment]).fetchone()
        old = str(row[0]) if row else ""
        old_home = Path(unquote(urlsplit(old).path)).parent
        if (
            old in (new, "")
            or not old.startswith("file:///")
            or not old.endswith("/artifacts")
            or _same(old_home, home)
        ):
            return
        tables = {name for (name,) in base.execute("SELECT name FROM sqlite_master")}
        with base:
            for table, column in BELOW_ARTIFACTS:
                if table in tables:
                    _replace(base, table, column, "1", old, new)
            for table, column, condition in BELOW_HOME:
                _replace(base, table, column, condition, str(old_home), str(home))


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:  # missing
        return False


def _replace(base: sqlite3.Connection, table: str, column: str, where: str, old: str, new: str) -> None:
    """Replace `old` by `new` in values that are `old` or a path below it."""
    base.execute(
        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {where} AND substr({column} || '/', 1, ?) = ?",
        [new, len(old) + 1, len(old) + 1, f"{old}/"],
    )
