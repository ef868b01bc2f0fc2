"""The family of bodies: `body_table` finds every member in the folders beside it."""
