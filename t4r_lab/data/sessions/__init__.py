"""Events to sessions: roles of the columns, order of the rows, flat arrays."""
