"""The record as a file: ``mlflow.db`` under the home, looked at before MLflow opens it.

What MLflow writes into it has the home's path. Where the home stands elsewhere now, moved or copied, the rows are
brought along at the first opening, so that MLflow's own pages find everything too.
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
"""Columns of URIs below that of the artifacts."""
BELOW_HOME = (("tags", "value", f"key = '{FOLDER}'"), ("datasets", "dataset_source", "1"))
"""Columns of paths that may lie below the home, in which rows."""
LOCK_SECONDS = 120.0
"""To make a database takes ten."""
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
SAVED = "bring back a copy of it, or move it away to begin anew without the runs in it"


def database_file(home: Path) -> Path:
    """The SQLite file of a home's record."""
    return home / "mlflow.db"


def artifact_root(home: Path) -> Path:
    """The folder of a home's artifacts."""
    return home / "artifacts"


def artifact_folder(home: Path, run_id: str) -> Path:
    """Where the artifacts of a run lie: beside the database, whatever that says of places it was at before."""
    return artifact_root(home) / run_id / "artifacts"


def gone(home: Path) -> InputError | None:
    """What to say where the home, which was there, isn't any more."""
    if database_file(home).is_file() and database_file(home).stat().st_size:
        return None
    return InputError(
        home, "the home is gone, or its mlflow.db (deleted, moved, unmounted?)", "bring it back, then go on"
    )


def check(home: Path) -> None:
    """Refuse at once a database that MLflow would try to open for 101 s, or that is none.

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
        if "locked" not in str(error):  # which passes, and is waited for by who writes
            raise InputError(path, f"cannot be opened ({error})", f"fix that, or set {homes.VARIABLE}") from None


def damaged(said: str, path: Path) -> InputError | None:
    """What to do where SQLite's words mean a damaged file."""
    words = ("malformed", "not a database", "no such table", "no such column", "file is encrypted")
    if any(word in said for word in words):
        return InputError(path, "the database is damaged", SAVED)
    return None


def of_another_mlflow(said: str, path: Path, url: str) -> InputError | None:
    """What to do where MLflow's words mean that the tables are those of another version of it."""
    found = re.search(r"found version (\w+)|revision identified by '(\w+)'", said)
    if found is None:
        return None
    import mlflow
    from mlflow.store import db_migrations

    revision = found[1] or found[2]
    known = any(Path(db_migrations.__path__[0], "versions").glob(f"{revision}_*.py"))
    age = "an older" if known else "another, newer"
    words = f"{path}: made by {age} MLflow (tables {revision}) than {mlflow.__version__}"
    if known:
        return InputError("", words, f"save a copy of the file, then run `mlflow db upgrade '{url}'`")
    return InputError("", words, "install the MLflow that it was made by")


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Two processes must not both make the tables or bring rows along; who may only read does neither."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(home / ".mlflow.lock", LOCK_SECONDS))
        except BlockingIOError:
            raise InputError(home, "another process has been opening the record for minutes", "end that one") from None
        except OSError as error:
            if error.errno not in READ_ONLY or not database_file(home).exists():
                raise
        yield


@contextmanager
def made_whole(home: Path) -> Iterator[None]:
    """The database is made in hundreds of steps; one that was left halfway can't be opened, and is made anew."""
    making, path = home / ".mlflow.making", database_file(home)
    if making.exists():
        path.unlink(missing_ok=True)
    elif not path.exists():
        making.touch()
    yield
    making.unlink(missing_ok=True)


def bring_along(home: Path, experiment: str) -> None:
    """Let the rows of a home that was moved or copied say where it stands now; who may only read leaves them.

    A home that is only reached by another path, through a link or a mount, is left as it is.
    """
    path, new = database_file(home), artifact_root(home).as_uri()
    if not path.exists():
        return
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as base, suppress(sqlite3.OperationalError):
        found = base.execute("SELECT artifact_location FROM experiments WHERE name = ?", [experiment]).fetchone()
        old = str(found[0]) if found else ""
        before = Path(unquote(urlsplit(old).path)).parent
        if old in (new, "") or not old.startswith("file:///") or not old.endswith("/artifacts") or _same(before, home):
            return
        tables = {name for (name,) in base.execute("SELECT name FROM sqlite_master")}
        with base:
            for table, column in BELOW_ARTIFACTS:
                if table in tables:
                    _replace(base, table, column, "1", old, new)
            for table, column, rows in BELOW_HOME:
                _replace(base, table, column, rows, str(before), str(home))


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # it isn't there any more
        return False


def _replace(base: sqlite3.Connection, table: str, column: str, rows: str, old: str, new: str) -> None:
    """Put `new` for `old` where a value is that or below it."""
    base.execute(
        f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {rows} AND substr({column} || '/', 1, ?) = ?",
        [new, len(old) + 1, len(old) + 1, f"{old}/"],
    )
