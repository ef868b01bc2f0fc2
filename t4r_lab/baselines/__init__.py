"""Baselines without training, judged by the same metrics as every model."""
