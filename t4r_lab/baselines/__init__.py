"""Baselines, evaluated by the same metrics as every model; each is a file with a row."""
