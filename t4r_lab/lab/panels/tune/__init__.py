"""Tune: a form for a new study, and a watch on those there are."""
