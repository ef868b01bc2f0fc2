"""Prepare 10 million synthetic events, as a process of its own: its time and peak memory.

    python benchmarks/prepare.py [--events N] [--form csv|parquet]

Target on 2 cores: at most 25 s and 6 GB. The events are written to a file first, in the order of time as a log has
them, so that sessions are interleaved; that is outside the measurement. CSV is the slower form.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from harness import Side, arguments, in_turn, median, publish


def main() -> None:
    from t4r_lab.data.pipeline.synthetic import Generator

    parser = arguments(__doc__ or "", runs=1)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--form", choices=["csv", "parquet"], default="csv")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"events.{options.form}"
        shop = Generator(n_items=20_000, n_categories=200)
        events = shop.events(options.events // 7).sort("timestamp", maintain_order=True)
        events.write_parquet(source) if options.form == "parquet" else events.write_csv(source)
        del events
        side = Side(sys.executable, "_prepare_worker.py", {"events": str(source), "out": f"{folder}/out"})
        results = in_turn({"ours": side}, options.runs, options.threads)["ours"]
    figures = {key: round(median(results, key), 2) for key in results[0]}
    publish("prepare", {"form": options.form, **figures}, options.threads, not options.dry)


if __name__ == "__main__":
    main()
