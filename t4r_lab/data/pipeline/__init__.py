"""Raw events become a prepared folder: features, encoding, split, checks, profile."""
