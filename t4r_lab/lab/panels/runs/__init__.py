"""Runs: the table of recorded runs, and what is ticked side by side."""
