"""The record of runs in MLflow, whose only importer this is. One experiment holds all runs."""

from t4r_lab.track.artifacts import Artifacts
from t4r_lab.track.client import EXPERIMENT, client_of, database, gone, server
from t4r_lab.track.local import FOLDER
from t4r_lab.track.names import HOST, LOOKS, NOTE, REASON, SPEC, from_key, looks_of, to_key
from t4r_lab.track.record import Record, data_input, end, environment, start
from t4r_lab.track.recorded import (
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
from t4r_lab.track.registry import FOR_WHOM, check_alias, model_name, promoted, register

__all__ = [
    "EXPERIMENT", "FOLDER", "FOR_WHOM", "HOST", "LOOKS", "NOTE", "REASON", "SPEC", "Artifacts", "Record", "RunRow",
    "artifacts", "check_alias", "client_of", "data_input", "database", "end", "environment", "find", "from_key", "gone",
    "history", "looks_of", "model_name", "of_data", "of_folder", "on_its_data", "promoted", "register", "runs",
    "server", "spec", "start", "tags", "to_key",
]  # fmt: skip
