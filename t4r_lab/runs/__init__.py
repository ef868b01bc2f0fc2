"""Recorded runs: trained, resumed, compared, analyzed, promoted, applied to new sessions."""
