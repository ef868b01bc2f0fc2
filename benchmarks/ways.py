"""Ways to make training faster, each judged by the time to the same quality: Amazon Beauty until NDCG@10 is .036.

    python benchmarks/ways.py Beauty.txt                   # ten minutes on 2 cores

The SASRec shape of beauty.py, as it stands and with one thing changed: batches of sessions of like length, as many
sessions or as many events in each; feed-forward layers by `torch.compile`; products in float32; biases of items from 0
on; one thread.
What the change itself takes, as compiling does, counts: an epoch's time is the median, the time to quality is all.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from beauty import add_until, beauty_arguments, beauty_job, side, summary, write_data
from harness import publish, work

WAYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "batches of like length": {"order": "sessions"},
    "batches of as many events": {"order": "events"},
    "torch.compile": {"compile": True},
    "products in float32": {"precision": "float32"},
    "items start alike": {"prior": "uniform"},
    "one thread": {},
}
"""Way → what differs in the job."""


def main() -> None:
    parser = beauty_arguments(__doc__ or "", runs=3, epochs=12)
    add_until(parser)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY", help="(%(default)s)")
    options = parser.parse_args()

    by_way: dict[str, list[dict[str, Any]]] = {way: [] for way in options.ways}
    with tempfile.TemporaryDirectory() as folder:
        items = write_data(options.file, options.users, Path(folder))
        for seed in range(options.runs):
            job = beauty_job(Path(folder), items, seed=seed, epochs=options.epochs, until=options.until)
            for way in options.ways:
                threads = 1 if way == "one thread" else options.threads
                by_way[way].append(work(side("sasrec", {**job, **WAYS[way]}), threads))
                print(f"  round {seed + 1} of {options.runs}: {way}", file=sys.stderr)
    ways = {way: summary(results, options.until) for way, results in by_way.items()}
    publish("ways", {"until": options.until, "users": options.users, "ways": ways}, options.threads, not options.dry)


if __name__ == "__main__":
    main()
