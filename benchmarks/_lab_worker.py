"""The front end once, in a home of its own: how long a person waits. Prints one JSON object."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SLOWEST = 10
HOME = """
import sys
from pathlib import Path
import t4r_lab as t4r
from t4r_lab.lab.app import first_spec
from t4r_lab.lab.state import source

home = Path(sys.argv[1])
source.first(home, Path(first_spec(home).data.path), lambda report: None)
for name, epochs in (("one", 1), ("two", 2)):
    t4r.run(first_spec(home).override({"name": name, "train.epochs": epochs}), home=home, on_report=lambda report: None)
"""
"""A home with the built-in data and two runs, made in a process of its own."""


def main() -> None:
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", HOME, folder], check=True)
        lab = timed(figures, "import", lambda: importlib.import_module("t4r_lab").Lab)
        lab = timed(figures, "first_view", lambda: serialized(lab(folder)))
        timed(figures, "data", lambda: wait("the data", lambda: lab.data.summary))
        timed(
            figures, "ready", lambda: wait("an estimate", lambda: lab.cost_estimate.estimate or lab.cost_estimate.error)
        )
        wait("the runs", lambda: not lab.runs.loading)
        figures |= launch(lab)
        lab.runs.table.selected = [run.run_id for run in lab.runs.runs[-2:]]
        timed(figures, "compare", lambda: wait("a comparison", lambda: lab.recorded.comparing.view.drawn))
        timed(figures, "open_mlflow", lambda: opened_in_mlflow(lab))
        timed(figures, "open_mlflow_again", lambda: opened_in_mlflow(lab))
        read_frame(lab)
        edits = callbacks(lab)
        lab.close()
    figures["slowest_callback_ms"] = max(edit["ms"] for edit in edits)
    figures["slowest_callback_cpu_ms"] = max(edit["cpu_ms"] for edit in edits)
    figures["callbacks"] = sorted(edits, key=lambda edit: -edit["cpu_ms"])[:SLOWEST]
    print(json.dumps(figures))


def timed(figures: dict[str, Any], name: str, work: Callable[[], Any]) -> Any:
    """What `work` returns; its seconds by the clock, and of CPU in this process, go into `found`."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    figures[f"{name}_seconds"] = round(time.perf_counter() - wall, 3)
    figures[f"{name}_cpu_seconds"] = round(time.process_time() - cpu, 3)
    return result


def serialized(lab: Any) -> Any:
    """`lab`, once everything that a browser needs to draw it is text."""
    from ipywidgets.widgets import widget

    for each in list(widget._instances.values()):
        json.dumps(each.get_state(), default=str)
    return lab


def wait(what: str, condition: Any) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"the front end did not show {what} within two minutes")
        time.sleep(0.02)


def opened_in_mlflow(lab: Any) -> None:
    """Ask for the page of a run in the MLflow UI, and wait for its link."""
    lab.recorded.acting.choose(lab.runs.runs[-1])
    lab.recorded.acting.view.link = ""
    lab.recorded.acting.ask("open")
    wait("MLflow's page", lambda: lab.recorded.acting.view.link or lab.recorded.acting.view.error)
    if lab.recorded.acting.view.error:
        sys.exit(lab.recorded.acting.view.error)


def launch(lab: Any) -> dict[str, float]:
    """Seconds from launching the draft to its first training step, and of CPU in the worker by then."""
    from t4r_lab import jobs

    began = time.perf_counter()
    job = jobs.launch(lab.draft.spec, lab.home)

    def steps() -> bool:
        events, _ = job.follow(0)
        return any(e.get("stage") == "training" and e.get("done") for e in events)

    wait("a training step", steps)
    seconds = time.perf_counter() - began
    fields = Path(f"/proc/{job.status().pid}/stat").read_text().rpartition(")")[2].split()
    job.cancel()
    wait("the end of a job", lambda: job.status().state not in jobs.ACTIVE)
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return {"first_step_seconds": round(seconds, 3), "first_step_cpu_seconds": round(cpu, 3)}


def read_frame(lab: Any) -> None:
    """A file of events in the Data panel, so that its columns can be set."""
    from t4r_lab.data.pipeline.synthetic import Generator

    path = Path(lab.home) / "events.csv"
    Generator().events(500).write_csv(path)
    lab.data.form.source.value = str(path)
    wait("the columns of a file", lambda: lab.data.form.preview)


def callbacks(lab: Any) -> list[dict[str, Any]]:
    """The slowest edit of every control by CPU time of its own thread: estimates and the watch of jobs run beside."""
    slowest: dict[str, dict[str, Any]] = {}
    for control in controls(lab):
        before = control.value
        for value in [*others(control), before]:
            began, cpu = time.perf_counter(), time.thread_time()
            control.value = value
            cpu, wall = time.thread_time() - cpu, time.perf_counter() - began
            name = control.tooltip or control.description or type(control).__name__
            edit = {
                "control": name,
                "value": str(value)[:60],
                "cpu_ms": round(1e3 * cpu, 1),
                "ms": round(1e3 * wall, 1),
            }
            slowest[name] = max(edit, slowest.get(name, edit), key=lambda each: each["cpu_ms"])
    return list(slowest.values())


def controls(lab: Any) -> Iterator[Any]:
    """Every control that holds a value, those that come with another body or masking too."""
    seen: set[int] = set()
    while fresh := [c for c in walk(lab) if id(c) not in seen and hasattr(c, "value") and not c.disabled]:
        seen.add(id(fresh[0]))
        yield fresh[0]


def walk(widget: Any) -> Iterator[Any]:
    if hasattr(widget, "disabled"):
        yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def others(control: Any) -> list[Any]:
    """Values to set a control to beside its own."""
    import ipywidgets as w

    if isinstance(control, w.Checkbox):
        return [not control.value]
    if isinstance(control, w.Dropdown | w.ToggleButtons):
        values = [each[1] if isinstance(each, tuple) else each for each in control.options]
        return [value for value in values if value != control.value]
    if isinstance(control, w.Text | w.Textarea):
        return [] if control.description in ("file", "spec to paste", "or its path") else ["3"]
    if isinstance(control, w.FloatSlider | w.BoundedIntText | w.BoundedFloatText):
        return [control.min, min(control.max, control.min + 1)]
    if isinstance(control, w.FloatLogSlider):
        return [control.base**control.min]
    return [control.value + 1] if isinstance(control, w.FloatText | w.IntText) else []


if __name__ == "__main__":
    main()
