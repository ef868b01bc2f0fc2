"""What a person waits for in the front end, with the built-in data in a home of its own.

    python benchmarks/lab.py                           # two minutes

In a new process each time: to import it, to build and serialize its first view, until the data and the first estimate
stand (ready), and from launching a job to its first training step. Then every control of every panel is set to each of
its choices, or another value, and back: about 350 callbacks. All also in CPU time, which other work changes less.
"""

from __future__ import annotations

import sys

<<<<<<< HEAD
from harness import Side, arguments, in_turn, median, publish


def main() -> None:
    options = arguments(__doc__ or "", runs=3).parse_args()
    runs = in_turn({"lab": Side(sys.executable, "_lab_worker.py", {})}, options.runs, options.threads)["lab"]
    figures = {key: round(median(runs, key), 3) for key in runs[0] if key != "callbacks"}
    publish("lab", {**figures, "callbacks": runs[-1]["callbacks"]}, options.threads, not options.dry)
=======
from harness import publish

SLOWEST = 10
IMPORT = "import t4r_lab; t4r_lab.Lab"


def main() -> None:
    found: dict[str, Any] = {"import": timed(lambda: exec(IMPORT))}
    from t4r_lab import Lab

    with tempfile.TemporaryDirectory() as folder:
        labs: list[Any] = []
        found["first_view"] = timed(lambda: (labs.append(Lab(folder)), serialized()))
        lab = labs[0]
        found["data_and_estimate"] = timed(
            lambda: wait("an estimate", lambda: lab.estimating.found or lab.estimating.error)
        )
        wait("the runs", lambda: not lab.runs.loading)
        found["first_step"] = launch(lab)
        read_frame(lab)
        found["callbacks"], found["slowest"] = callbacks(lab)
        found["widgets"] = len(list(every_widget()))
        lab.close()
    publish("lab", found)


def timed(work: Any) -> dict[str, float]:
    """Seconds by the clock, and of CPU in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"seconds": round(time.perf_counter() - wall, 3), "cpu_seconds": round(time.process_time() - cpu, 3)}


def every_widget() -> Iterator[Any]:
    from ipywidgets.widgets import widget

    return iter(list(widget._instances.values()))


def serialized() -> int:
    """Bytes of what the notebook gets to draw the widgets."""
    return sum(len(json.dumps(each.get_state(), default=str)) for each in every_widget())


def wait(what: str, condition: Any) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"the front end did not show {what} within two minutes")
        time.sleep(0.02)


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
    return {"seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3)}


def read_frame(lab: Any) -> None:
    """A file of events in the Data panel, so that its columns can be set."""
    from t4r_lab.data.synthetic import Generator

    path = Path(lab.home) / "events.csv"
    Generator().events(500).write_csv(path)
    lab.data.form.source.value = str(path)
    wait("the columns of a file", lambda: lab.data.form.preview)


def callbacks(lab: Any) -> tuple[int, list[dict[str, Any]]]:
    """How many edits were timed, and the slowest of them."""
    taken: dict[str, dict[str, Any]] = {}
    n = 0
    for control in controls(lab):
        before = control.value
        for value in [*others(control), before]:
            began, cpu = time.perf_counter(), time.thread_time()
            control.value = value
            edit = {"cpu_ms": 1000 * (time.thread_time() - cpu), "ms": 1000 * (time.perf_counter() - began)}
            name, n = control.tooltip or control.description or type(control).__name__, n + 1
            if edit["cpu_ms"] > taken.get(name, {"cpu_ms": -1})["cpu_ms"]:
                taken[name] = {"control": name, "value": str(value)[:60], **{k: round(v, 1) for k, v in edit.items()}}
    return n, sorted(taken.values(), key=lambda edit: -edit["cpu_ms"])[:SLOWEST]


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
        values = control.options
        return [
            v[1] if isinstance(v, tuple) else v
            for v in values
            if (v[1] if isinstance(v, tuple) else v) != control.value
        ]
    if isinstance(control, w.Text | w.Textarea):
        return [] if control.description in ("file", "spec to paste", "or its path") else ["3"]
    if isinstance(control, w.FloatSlider | w.BoundedIntText | w.BoundedFloatText):
        return [control.min, min(control.max, control.min + 1)]
    if isinstance(control, w.FloatLogSlider):
        return [control.base**control.min]
    return [control.value + 1] if isinstance(control, w.FloatText | w.IntText) else []
>>>>>>> bench


if __name__ == "__main__":
    main()
