"""The row of a metric."""
