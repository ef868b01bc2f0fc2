"""Readers of raw tables, by the path that programs written against the first version know."""

from t4r_lab.data.formats.format_readers import read_events, read_file, read_table, write_table

__all__ = ["read_events", "read_file", "read_table", "write_table"]
