"""What a person waits for: the import, ``--help``, and recommendations by a loaded model.

    python benchmarks/latency.py                       # under a minute

Import and help are whole processes, from start to exit. Recommendations go from a data frame of events with the
user's own ids to a data frame of items: sessions one at a time, and all of them at once.
"""

from __future__ import annotations

import subprocess
import sys
import time

from harness import HERE, Side, arguments, in_turn, median, publish

COMMANDS = {"import": ["-c", "import t4r_lab"], "help": ["-m", "t4r_lab", "--help"]}


def run_seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=HERE.parent)
    return time.perf_counter() - began


def main() -> None:
    parser = arguments(__doc__ or "", runs=5)
    parser.add_argument("--items", type=int, default=20_000, help="(default %(default)s)")
    parser.add_argument("--sessions", type=int, default=20_000, help="asked for at once (default %(default)s)")
    parser.add_argument("--asked", type=int, default=200, help="asked for one at a time (default %(default)s)")
    options = parser.parse_args()
    rounds = [{name: run_seconds(command) for name, command in COMMANDS.items()} for _ in range(options.runs + 1)]
    waits = {f"{name}_seconds": round(median(rounds[1:], name), 3) for name in COMMANDS}  # the first one fills caches
    job = {"items": options.items, "sessions": options.sessions, "asked": options.asked}
    results = in_turn({"recommend": Side(sys.executable, "_latency_worker.py", job)}, options.runs, options.threads)
    figures = {key: round(median(results["recommend"], key), 2) for key in results["recommend"][0]}
    publish("latency", {**waits, "recommend": figures}, options.threads, not options.dry)


if __name__ == "__main__":
    main()
