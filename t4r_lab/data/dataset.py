"""`Dataset`, by the path that programs written against the first version know."""

from t4r_lab.data.prepared.prepared_data import Dataset

__all__ = ["Dataset"]
