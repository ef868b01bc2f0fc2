"""The registry of models: what a promoted run is given out as."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab.base.errors import InputError
from t4r_lab.tracking.client import PAGE, client_of, is_empty

if TYPE_CHECKING:
    from t4r_lab.tracking import RunRow


FOR_WHOM = "for this lab's own `recommend`: `mlflow.pyfunc.load_model` can't load it yet"
"""What a registered version is good for, said wherever one is given out."""


def check_alias(alias: str) -> None:
    """Refuse what MLflow doesn't take for an alias."""
    if not re.fullmatch(r"[\w-]{1,255}", alias, re.ASCII) or alias == "latest" or re.fullmatch(r"v\d+", alias):
        raise InputError(
            "alias", f"{alias!r} can't be one", "use letters, digits, - and _, for example champion (not latest or v1)"
        )


def model_name(row: RunRow) -> str:
    """The registered model that holds the runs on the same data, by the data's name.

    MLflow allows no ``/``, ``:``, ``.``, ``%``, quotes or backslashes in it, and we allow what is left of ASCII.
    """
    return f"t4r-lab-{re.sub(r'[^0-9A-Za-z _-]', '-', Path(row.data).name) or 'data'}"


def register(home: Path, row: RunRow, alias: str) -> tuple[str, str]:
    """Give the run's model a version in the registry, unless it has one, and `alias` to that; (model, version)."""
    from mlflow.exceptions import MlflowException

    client, _ = client_of(home)
    name = model_name(row)
    with suppress(MlflowException):  # it is there already
        client.create_registered_model(name, description=f"models of T4R Lab on these data, {FOR_WHOM}")
    own = [v for v in client.search_model_versions(f"run_id = '{row.run_id}'") if v.name == name]
    warnings = [f"Warning: {words}" for words in row.doubts]
    description = "\n\n".join([f"{FOR_WHOM[0].upper()}{FOR_WHOM[1:]}.", *warnings])
    if own:
        version = str(own[0].version)
        client.update_model_version(name, version, description)
    else:
        source = f"{client.get_run(row.run_id).info.artifact_uri}/model"
        version = str(client.create_model_version(name, source, row.run_id, description=description).version)
    client.set_registered_model_alias(name, alias, version)
    return name, version


def promoted(home: Path) -> dict[str, list[str]]:
    """Run in the registry → its aliases there, such as ``t4r-lab-shop@champion``; none once others have them."""
    if is_empty(home):
        return {}
    client, _ = client_of(home)
    versions = {(v.name, str(v.version)): str(v.run_id) for v in client.search_model_versions(max_results=PAGE)}
    found: dict[str, list[str]] = {run: [] for run in versions.values()}
    for model in client.search_registered_models() if versions else ():
        for alias, version in model.aliases.items():
            if (run := versions.get((model.name, str(version)))) is not None:
                found[run].append(f"{model.name}@{alias}")
    return found
