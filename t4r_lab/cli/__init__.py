"""The command line: parses, calls one function of a lower floor, and prints the result."""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; by default that of this process."""
    from t4r_lab.cli import program

    return program.main(arguments)
