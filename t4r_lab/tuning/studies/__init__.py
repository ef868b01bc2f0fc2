"""A study in the storage that all its workers share: begun or loaded, its trials assigned, one process leading it."""
