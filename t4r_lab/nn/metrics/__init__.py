"""Metrics: ranking, labels, recommended lists, calibration, slices."""
