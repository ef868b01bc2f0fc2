"""How runs differ: differences of their metrics with intervals, corrected for the number of comparisons."""
