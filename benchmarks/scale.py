"""How cost grows: preparing data and training on them, by the number of sessions, of items, and by length.

    python benchmarks/scale.py                         # about six minutes on 2 cores
    python benchmarks/scale.py --sessions 1000 10000 --items 1000 10000 --lengths 20 50 --steps 3

Seconds and peak memory of each. Those of an epoch are those of some of its steps times their number; everything else is
measured as it stands.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import Side, arguments, in_turn, median, publish


def make_job(**changes: Any) -> dict[str, Any]:
    """What `_steps_worker.py` needs; `length` None: 2 to 20 events, about 7.4."""
    job = {
        "body": "gpt2",
        "items": 20_000,
        "length": None,
        "batch_size": 128,
        "sessions": 128 * 40,
        "steps": 10,
        "loss": {"kind": "cross_entropy"},
    }
    assert set(changes) <= set(job), changes
    return {**job, **changes}


def curve(sides: dict[int, Side], runs: int, threads: int) -> list[dict[str, float]]:
    """Medians of each size's figures, by rising size."""
    results = in_turn({str(size): side for size, side in sorted(sides.items())}, runs, threads)
    return [{"size": int(size), **{k: round(median(rs, k), 4) for k in rs[0]}} for size, rs in results.items()]


def write_events(sessions: list[int], folder: Path) -> dict[int, Path]:
    """Synthetic events of so many sessions, in the order of time, as Parquet files."""
    from t4r_lab.data.pipeline.synthetic import Generator

    shop, files = Generator(n_items=20_000, n_categories=200), {}
    for count in sessions:
        files[count] = folder / f"{count}.parquet"
        shop.events(count).sort("timestamp", maintain_order=True).write_parquet(files[count])
    return files


def main() -> None:
    parser = arguments(__doc__ or "", runs=3)
    parser.add_argument("--sessions", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--items", nargs="+", type=int, default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--lengths", nargs="+", type=int, default=[20, 50, 100, 200])
    parser.add_argument("--steps", type=int, default=10, help="timed steps of a run (default %(default)s)")
    options = parser.parse_args()

    def steps(**changes: Any) -> Side:
        return Side(sys.executable, "_steps_worker.py", make_job(steps=options.steps, **changes))

    with tempfile.TemporaryDirectory() as folder:
        files = write_events(options.sessions, Path(folder))
        jobs = {
            count: Side(sys.executable, "_prepare_worker.py", {"events": str(file), "out": f"{folder}/out"})
            for count, file in files.items()
        }
        curves = {"prepare": curve(jobs, options.runs, options.threads)}
    short = 128 * (options.steps + 3)
    curves["sessions"] = curve({n: steps(sessions=n) for n in options.sessions}, options.runs, options.threads)
    curves["items"] = curve({n: steps(items=n, sessions=short) for n in options.items}, options.runs, options.threads)
    curves["lengths"] = curve(
        {n: steps(length=n, sessions=short) for n in options.lengths}, options.runs, options.threads
    )
    publish("scale", {"curves": curves}, options.threads, not options.dry)


if __name__ == "__main__":
    main()
