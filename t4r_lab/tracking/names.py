"""Names in the record: of tags, files, and metrics, in which MLflow allows no @."""

from __future__ import annotations

import re
from collections.abc import Mapping

LOOKS, DATA, REASON, HOST = "t4r.test_looks", "t4r.dataset_digest", "t4r.reason", "t4r.host"
WARNINGS = "t4r.warnings."
"""Prefix of the tags of warnings, followed by train, valid or test."""
STUDY = "t4r.study"
"""Tag of the runs of a study and its trials, written by `t4r_lab.tracking.study_runs`: they aren't runs of the Lab."""
PARENT = "mlflow.parentRunId"
"""Tag under which a run belongs to that of its study."""
NOTE = "mlflow.note.content"
"""Tag that the MLflow UI shows as the description of a run."""
SPEC = "spec.yaml"
BASELINE = "baseline."


def to_key(part: str, metric: str, baseline: str | None = None) -> str:
    """Name of a metric in the record.

    >>> to_key("valid", "ndcg@10"), to_key("valid", "ndcg@10", "popularity")
    ('valid/ndcg_at_10', 'baseline.popularity/valid/ndcg_at_10')
    >>> to_key("valid", "shop.metrics:near@10")
    'valid/shop.metrics:near_at_10'
    """
    prefix = f"{BASELINE}{baseline}/" if baseline else ""
    return f"{prefix}{part}/{metric.replace('@', '_at_')}"


def from_key(key: str) -> tuple[str | None, str, str] | None:
    """(baseline or None, part, metric) of a recorded name; None for anything else.

    >>> from_key("baseline.popularity/valid/ndcg_at_10")
    ('popularity', 'valid', 'ndcg@10')
    >>> from_key("valid/purchase/auc")
    (None, 'valid', 'purchase/auc')
    >>> from_key("valid/shop.metrics:near_at_10")
    (None, 'valid', 'shop.metrics:near@10')
    """
    baseline = None
    if key.startswith(BASELINE):
        baseline, _, key = key.removeprefix(BASELINE).partition("/")
    part, _, metric = key.partition("/")
    return (baseline, part, re.sub(r"_at_(\d+)$", r"@\1", metric)) if part in ("valid", "test") and metric else None


def looks_of(tags: Mapping[str, str]) -> int:
    """Number of recorded looks at the test part."""
    text = tags.get(LOOKS, "")
    return int(text) if text.isdecimal() else 0
