"""Rows of events become sessions: which column plays which part, in what order, in flat arrays."""
