"""Statistics that metrics are computed from: ranks, recommended lists, sums of probabilities; and their slices."""
