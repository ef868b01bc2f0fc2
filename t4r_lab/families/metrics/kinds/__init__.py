"""Metrics by what they are computed from: ranks, recommended lists, probabilities, labels, the trained model."""
