"""One recorded run with everything that the record and the home hold of it."""
