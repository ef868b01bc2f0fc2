"""Tune: a form for a new study, and the state of existing ones."""
