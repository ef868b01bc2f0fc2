"""What a study costs beyond training, and what a second worker brings: ``python benchmarks/studies.py [TRIALS]``.

Equal trials (only the weight decay differs, nothing is pruned) by one worker with one thread, then by two with one
each. Prints the seconds of each study, their ratio, and the overhead of a trial: its time less that of its epochs.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from t4r_lab.base.reports import silent
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.pipeline.synthetic import Generator
from t4r_lab.spec import RunSpec
from t4r_lab.spec.study_options import StudyOptions
from t4r_lab.tuning import lead


def main(trials: int) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    os.environ["OMP_NUM_THREADS"] = "1"  # one thread a worker, also where it is alone
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        data = prepare(Generator().events(4000), home / "data", PrepareOptions()).path
        spec = RunSpec.parse(
            {
                "data": {"path": str(data)},
                "model": {"body": {"kind": "gpt2", "d_model": 64, "n_layer": 2}},
                "train": {"epochs": 4, "patience": None},
            }
        )
        figures = {}
        for workers in (1, 2):
            options = {"space": {"train.weight_decay": None}, "trials": trials, "workers": workers}
            study_options = StudyOptions.parse({**options, "pruner": "none", "sampler": "random"})
            began = time.perf_counter()
            lead.tune(spec, study_options, f"workers-{workers}", home=home, on_report=silent)
            figures[workers] = time.perf_counter() - began
            _, done = lead.report(f"workers-{workers}", home=home)
            overhead = [t.seconds - sum(e["seconds"] for e in t.epochs) for t in done]
            figures[f"overhead_{workers}"] = statistics.median(overhead)
        print(json.dumps({**figures, "ratio": figures[2] / figures[1]}, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
