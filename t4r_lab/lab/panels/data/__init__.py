"""Data: choose prepared data, or prepare a file; what it holds at a glance."""
