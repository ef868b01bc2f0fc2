"""The model registry: versions and aliases of promoted runs."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab.base.errors import InputError
from t4r_lab.tracking.client import PAGE, client_of, is_empty
from t4r_lab.tracking.run_rows import from_file

if TYPE_CHECKING:
    from t4r_lab.tracking import RunRow


VERSION_NOTE = "for this lab's own `recommend`: `mlflow.pyfunc.load_model` can't load it yet"
"""The use of a registered version, stated wherever one is shown."""


def check_alias(alias: str) -> None:
    """Refuse an alias that MLflow does not allow."""
    if not re.fullmatch(r"[\w-]{1,255}", alias, re.ASCII) or alias == "latest" or re.fullmatch(r"v\d+", alias):
        raise InputError(
            "alias", f"{alias!r} can't be one", "use letters, digits, - and _, for example champion (not latest or v1)"
        )


def model_name(row: RunRow) -> str:
    """The registered model that holds the runs on the same data, by the data's name.

    MLflow allows no ``/``, ``:``, ``.``, ``%``, quotes or backslashes in it; the rest of ASCII is kept.
    """
    return f"t4r-lab-{re.sub(r'[^0-9A-Za-z _-]', '-', Path(row.data).name) or 'data'}"


def register(home: Path, row: RunRow, alias: str) -> tuple[str, str]:
    """Register the run's model, unless it has a version, and set `alias` on it; returns (model, version)."""
    from mlflow.exceptions import MlflowException

    client, _ = client_of(home)
    name = model_name(row)
    with suppress(MlflowException):  # it exists
        client.create_registered_model(name, description=f"models of T4R Lab on these data, {VERSION_NOTE}")
    versions = [v for v in client.search_model_versions(f"run_id = '{row.run_id}'") if v.name == name]
    warnings = [f"Warning: {words}" for words in row.all_warnings]
    description = "\n\n".join([f"{VERSION_NOTE[0].upper()}{VERSION_NOTE[1:]}.", *warnings])
    if versions:
        version = str(versions[0].version)
        client.update_model_version(name, version, description)
    else:
        source = f"{client.get_run(row.run_id).info.artifact_uri}/model"
        version = str(client.create_model_version(name, source, row.run_id, description=description).version)
    client.set_registered_model_alias(name, alias, version)
    return name, version


def promoted(home: Path) -> dict[str, list[str]]:
    """Run id in the registry → its present aliases, such as ``t4r-lab-shop@champion``; empty if they have moved on."""
    if is_empty(home):
        return {}
    elsewhere = os.environ.get("MLFLOW_REGISTRY_URI", "")
    known = None if elsewhere else from_file(home, _versions_of_file)
    runs_by_version, version_by_alias = _versions_of_client(home) if known is None else known
    aliases: dict[str, list[str]] = {run: [] for run in runs_by_version.values()}
    for (model, alias), version in version_by_alias.items():
        if (run := runs_by_version.get((model, version))) is not None:
            aliases[run].append(f"{model}@{alias}")
    return aliases


Versions = tuple[dict[tuple[str, str], str], dict[tuple[str, str], str]]
"""Model and version → run id; model and alias → version."""


def _versions_of_file(base: sqlite3.Connection) -> Versions:
    versions = base.execute(
        "SELECT name, version, coalesce(run_id, '') FROM model_versions WHERE current_stage != 'Deleted_Internal'"
    ).fetchall()
    aliases = base.execute("SELECT name, alias, version FROM registered_model_aliases ORDER BY name, alias").fetchall()
    return {(m, str(v)): run for m, v, run in versions}, {(m, alias): str(v) for m, alias, v in aliases}


def _versions_of_client(home: Path) -> Versions:
    client, _ = client_of(home)
    versions = {(v.name, str(v.version)): str(v.run_id) for v in client.search_model_versions(max_results=PAGE)}
    models = client.search_registered_models() if versions else ()
    return versions, {(m.name, alias): str(v) for m in models for alias, v in m.aliases.items()}
