"""Copies of studies in files of their own, from which deleted ones come back."""

from __future__ import annotations

from pathlib import Path

import optuna

from t4r_lab.base import homes
from t4r_lab.base.errors import InputError
from t4r_lab.tuning.studies.open_study import all_names
from t4r_lab.tuning.studies.storage import Store


def copy_study(store: Store, name: str, file: Path) -> None:
    """Copy a study with its trials from a storage into a new SQLite file."""
    url = homes.sqlite_url(file)
    store.patiently(lambda: optuna.copy_study(from_study_name=name, from_storage=store.backend, to_storage=url))


def remove_study(store: Store, name: str) -> None:
    """Delete a study with its trials from a storage."""
    store.patiently(lambda: optuna.delete_study(study_name=name, storage=store.backend))


def bring_back(store: Store, name: str, file: Path) -> None:
    """Copy a study from its file into the storage again; nothing to do where its deletion was cut off.

    Raises
    ------
    InputError
        if another study has its name by now.
    """
    url = homes.sqlite_url(file)
    if name not in all_names(store):
        store.patiently(lambda: optuna.copy_study(from_study_name=name, from_storage=url, to_storage=store.backend))
        return
    begun = [_begun(name, store.backend), _begun(name, url)]
    if begun[0] != begun[1]:
        raise InputError(f"study {name}", "a study of that name exists", "delete that first")


def _begun(name: str, storage: str | optuna.storages.BaseStorage) -> list[object]:
    study = optuna.load_study(study_name=name, storage=storage)
    return [trial.datetime_start for trial in study.get_trials(deepcopy=False)]
