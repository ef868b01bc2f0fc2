"""Prepares a file of events once. Argument: JSON with ``events`` and ``out``. Prints one JSON object at the end."""

from __future__ import annotations

import json
import sys
import time

from _memory import peak_gb

from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare


def main() -> None:
    job = json.loads(sys.argv[1])
    began = time.perf_counter()
    data = prepare(job["events"], job["out"], PrepareOptions(min_item_support=5, targets=["purchase"]))
    seconds = time.perf_counter() - began
    events = sum(part["events"] for part in data.profile["parts"].values())
    print(json.dumps({"seconds": seconds, "peak_gb": peak_gb(), "events": events, "items": data.profile["items"]}))


if __name__ == "__main__":
    main()
