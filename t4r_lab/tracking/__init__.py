"""The record of runs in MLflow, whose only importer this is. One experiment holds all runs."""

from t4r_lab.tracking.artifacts import Artifacts
from t4r_lab.tracking.client import EXPERIMENT, client_of, database, gone, server
from t4r_lab.tracking.names import HOST, LOOKS, NOTE, REASON, SPEC, from_key, looks_of, to_key
from t4r_lab.tracking.record_file import FOLDER
from t4r_lab.tracking.recorded_runs import (
    RunRow,
    artifacts,
    find,
    history,
    of_data,
    of_folder,
    on_its_data,
    runs,
    spec,
    tags,
)
from t4r_lab.tracking.registry import FOR_WHOM, check_alias, model_name, promoted, register
from t4r_lab.tracking.run_record import Record, data_input, end, environment, start

__all__ = [
    "EXPERIMENT",
    "FOLDER",
    "FOR_WHOM",
    "HOST",
    "LOOKS",
    "NOTE",
    "REASON",
    "SPEC",
    "Artifacts",
    "Record",
    "RunRow",
    "artifacts",
    "check_alias",
    "client_of",
    "data_input",
    "database",
    "end",
    "environment",
    "find",
    "from_key",
    "gone",
    "history",
    "looks_of",
    "model_name",
    "of_data",
    "of_folder",
    "on_its_data",
    "promoted",
    "register",
    "runs",
    "server",
    "spec",
    "start",
    "tags",
    "to_key",
]
