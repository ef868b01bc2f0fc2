"""Jobs, which are runs in processes of their own: `job` launches and watches them, `job_worker` is such a process."""

from t4r_lab.jobs.job import (
    ACTIVE,
    EVENTS,
    LOG_BYTES,
    REQUESTS,
    Job,
    Status,
    all_jobs,
    find,
    launch,
)

__all__ = ["ACTIVE", "EVENTS", "LOG_BYTES", "REQUESTS", "Job", "Status", "all_jobs", "find", "launch"]
