"""The command line. Parses, calls one function of the floors below, and prints."""
