"""The record of runs in MLflow, whose only importer this is. One experiment holds all runs."""

from t4r_lab.tracking.annotations import annotate, user_tags
from t4r_lab.tracking.artifacts import Artifacts
from t4r_lab.tracking.client import EXPERIMENT, client_of, database, is_empty, missing_home, server
from t4r_lab.tracking.deleted_runs import (
    ARCHIVED,
    archive,
    delete_runs,
    erase_files,
    restore_runs,
    runs_of_study,
)
from t4r_lab.tracking.names import HOST, LOOKS, NOTE, REASON, SPEC, from_key, looks_of, to_key
from t4r_lab.tracking.record_file import FOLDER
from t4r_lab.tracking.recorded_runs import (
    RunRow,
    artifacts,
    choose,
    find,
    history,
    references_to_data,
    run_in_folder,
    runs,
    spec,
    study_of,
    tags,
    with_present_data,
)
from t4r_lab.tracking.registry import VERSION_NOTE, check_alias, model_name, promoted, register
from t4r_lab.tracking.run_record import Record, data_input, end, environment, start

__all__ = [
    "ARCHIVED",
    "EXPERIMENT",
    "FOLDER",
    "HOST",
    "LOOKS",
    "NOTE",
    "REASON",
    "SPEC",
    "VERSION_NOTE",
    "Artifacts",
    "Record",
    "RunRow",
    "annotate",
    "archive",
    "artifacts",
    "check_alias",
    "choose",
    "client_of",
    "data_input",
    "database",
    "delete_runs",
    "end",
    "environment",
    "erase_files",
    "find",
    "from_key",
    "history",
    "is_empty",
    "looks_of",
    "missing_home",
    "model_name",
    "promoted",
    "references_to_data",
    "register",
    "restore_runs",
    "run_in_folder",
    "runs",
    "runs_of_study",
    "server",
    "spec",
    "start",
    "study_of",
    "tags",
    "to_key",
    "user_tags",
    "with_present_data",
]
