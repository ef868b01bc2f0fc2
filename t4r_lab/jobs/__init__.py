"""Jobs, which are runs in processes of their own: `job` launches and watches them, `job_worker` is such a process,
`job_queue` lets those beyond the home's limit wait."""

from t4r_lab.jobs.job import EVENTS, LOG_BYTES, Job, all_jobs, find
from t4r_lab.jobs.job_queue import launch, limit, move, queued, repeat, resume, set_limit, start_next, write_limit
from t4r_lab.jobs.job_status import ACTIVE, QUEUED, REQUESTS, Status

__all__ = [
    "ACTIVE",
    "EVENTS",
    "LOG_BYTES",
    "QUEUED",
    "REQUESTS",
    "Job",
    "Status",
    "all_jobs",
    "find",
    "launch",
    "limit",
    "move",
    "queued",
    "repeat",
    "resume",
    "set_limit",
    "start_next",
    "write_limit",
]
