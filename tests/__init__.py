"""The suite, laid out as the package is. `support` holds what several tests use."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
