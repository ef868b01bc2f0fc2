"""Common code of bodies: their row in the table, knobs, configurations, and the building and running of models."""
