"""Jobs: runs in processes of their own. What launches and watches them here; the process itself is `worker`."""

from t4r_lab.jobs.job import (
    ACTIVE,
    ASKED,
    EVENTS,
    LOG_BYTES,
    Job,
    Status,
    all_jobs,
    find,
    launch,
)

__all__ = ["ACTIVE", "ASKED", "EVENTS", "LOG_BYTES", "Job", "Status", "all_jobs", "find", "launch"]
