"""Data: choose prepared data, or prepare a file; the profile of the chosen data."""
