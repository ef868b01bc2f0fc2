"""What bodies have in common: their row in the table, knobs, configurations, and how models are made and read."""
