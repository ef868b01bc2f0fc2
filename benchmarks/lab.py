"""What a person waits for in the front end, with the built-in data in a home of its own.

    python benchmarks/lab.py                           # two minutes

In a new process each time: to import it, to build and serialize its first view, until the data and the first estimate
stand (ready), and from launching a job to its first training step. Then every control of every panel is set to each of
its choices, or another value, and back: about 350 callbacks. All also in CPU time, which other work changes less.
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
