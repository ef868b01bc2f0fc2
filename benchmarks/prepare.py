"""Prepare 10 million synthetic events, as a process of its own, and print its time and peak memory.

    python benchmarks/prepare.py [--events N] [--form csv|parquet]

Target on 2 cores: at most 25 s and 6 GB. The events are written to a file first, in the order of time as a log has
them, so that sessions are interleaved; that is outside the measurement. CSV is the slower form.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORKER = """
import json, resource, sys, time
began = time.perf_counter()
from t4r_lab.data.prepare import PrepareOptions, prepare
data = prepare(sys.argv[1], sys.argv[2], PrepareOptions(min_item_support=5, targets=["purchase"]))
found = {"seconds": round(time.perf_counter() - began, 2),
         "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
         "parts": data.profile["parts"], "items": data.profile["items"]}
print(json.dumps(found))
"""


def main(n_events: int, form: str) -> None:
    from t4r_lab.data.synthetic import Generator

    with tempfile.TemporaryDirectory() as scratch:
        shop = Generator(n_items=20_000, n_categories=200)
        source = Path(scratch) / f"events.{form}"
        began = time.perf_counter()
        events = shop.events(n_events // 7).sort("timestamp", maintain_order=True)
        events.write_parquet(source) if form == "parquet" else events.write_csv(source)
        print(f"made {len(events):,} events in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        del events
        done = subprocess.run(
            [sys.executable, "-c", WORKER, str(source), str(Path(scratch) / "out")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        print(json.dumps(json.loads(done.stdout), indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--form", choices=["csv", "parquet"], default="csv")
    options = parser.parse_args()
    main(options.events, options.form)
