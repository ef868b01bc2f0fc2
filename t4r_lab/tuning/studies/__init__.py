"""A study in the storage that all its workers share: found or begun, its trials given out, one process leading it."""
