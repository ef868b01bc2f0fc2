"""The columns of prepared data, and Merlin's files that describe them."""

from t4r_lab.schema.columns import Column, Schema

__all__ = ["Column", "Schema"]
