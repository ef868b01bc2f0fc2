"""Next-item losses: over all items, and against sampled ones."""
