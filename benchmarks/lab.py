"""What a person waits for in the front end, in a home with the built-in data and two runs.

    python benchmarks/lab.py                           # two minutes

In a new process each time: to import it, to build and serialize its first view, from then on until its data are shown
and until the first estimate (ready); from launching a job to its first training step; until two runs are compared, and
until the link to the MLflow UI is there, for the first time and again. Then every control of every panel is set to each
of its choices, or another value, and back: about 350 callbacks. All also in CPU time, which other work changes less.
"""

from __future__ import annotations

import sys

from harness import Side, arguments, in_turn, median, publish


def main() -> None:
    options = arguments(__doc__ or "", runs=3).parse_args()
    runs = in_turn({"lab": Side(sys.executable, "_lab_worker.py", {})}, options.runs, options.threads)["lab"]
    figures = {key: round(median(runs, key), 3) for key in runs[0] if key != "callbacks"}
    publish("lab", {**figures, "callbacks": runs[-1]["callbacks"]}, options.threads, not options.dry)


if __name__ == "__main__":
    main()
