"""An experiment is opened, its model built, trained and judged. Knows its home by path alone, and no record."""
