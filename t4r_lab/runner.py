"""Runs, by the path that programs written against the first version know."""

from t4r_lab.runs.run import resume, run

__all__ = ["resume", "run"]
