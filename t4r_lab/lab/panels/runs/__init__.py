"""Runs: the table of recorded runs, and the ticked ones side by side."""
