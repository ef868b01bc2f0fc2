"""Write what `results.json` holds into docs/performance.md: the table of targets, the curves and their picture.

    python benchmarks/table.py

No figure of that page is copied by hand: what stands between its markers is replaced.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from beauty import until_reached
from harness import HERE, RESULTS

PAGE = HERE.parent / "docs/performance.md"
LAB_PAGE = HERE.parent / "docs/lab.md"
PICTURE = HERE.parent / "docs/images/scale.svg"
Results = Mapping[str, Any]


class Row(NamedTuple):
    """A line of the table: what is measured, its target, and where the figure stands in the results.

    `beside` says what the figure is made of: a form, and where what fills it stands.
    """

    what: str
    target: float
    measured: str
    form: str = "{:.2f}×"
    at_least: bool = True
    beside: tuple[str, ...] = ()


TRAINING = "training-features.pairs"
"""Where the comparisons of training stand: those with four features."""
PAIRS = {"gpt2-clm": ("GPT-2 clm", 5), "xlnet-mlm": ("XLNet mlm", 4), "gru-clm": ("GRU clm", 5)}
SHAPES = {"ours": "GPT-2", "sasrec": "SASRec"}
LIBRARIES = {"reference": ("the reference", 5), "rectools": ("RecTools", 30)}


def _both(path: str, form: str, sides: tuple[str, str] = ("ours", "reference")) -> tuple[str, ...]:
    """`form` for either side, filled from ``path`` with each side in the place of ``*``."""
    return (f"{form} to {form}", *(path.replace("*", side) for side in sides))


ROWS = [
    *(
        Row(
            f"training, {label}, to the reference",
            target,
            f"{TRAINING}.{name}.trained_ratio",
            beside=_both(f"{TRAINING}.{name}.trained_per_second.*", "{:,.0f} sessions/s"),
        )
        for name, (label, target) in PAIRS.items()
    ),
    *(
        Row(
            f"an epoch of Beauty, {shape} shape, to {library}",
            target,
            f"beauty.ratios.{side}.epoch_{other}",
            beside=_both("beauty.sides.*.epoch_seconds", "{:.1f} s", (side, other)),
        )
        for side, shape in SHAPES.items()
        for other, (library, target) in LIBRARIES.items()
    ),
    *(
        Row(
            f"Beauty to NDCG@10 .036, {shape} shape, to the reference",
            6,
            f"beauty.ratios.{side}.until_reference",
            beside=_both("beauty.sides.*.until_seconds", "{:.0f} s", (side, "reference")),
        )
        for side, shape in SHAPES.items()
    ),
    *(
        Row(
            f"evaluation, {label}, to the reference",
            5,
            f"{TRAINING}.{name}.evaluated_ratio",
            beside=_both(f"{TRAINING}.{name}.evaluated_per_second.*", "{:,.0f} sessions/s"),
        )
        for name, (label, _) in PAIRS.items()
    ),
    *(
        Row(
            f"peak memory of training, {label}, to the reference",
            0.7,
            f"{TRAINING}.{name}.memory_ratio",
            at_least=False,
            beside=_both(f"{TRAINING}.{name}.peak_gb.*", "{:.2f} GB"),
        )
        for name, (label, _) in PAIRS.items()
    ),
    Row(
        "share of the step's limit, GPT-2",
        0.6,
        "limit.bodies.gpt2.limit_share",
        "{:.0%}",
        beside=("products at {:.0f} GFLOP/s", "limit.bodies.gpt2.gflop_per_second"),
    ),
    Row("waiting for data, share of the epoch", 0.03, "limit.bodies.gpt2.data_share", "{:.1%}", False),
    Row(
        "a million items, full softmax: memory beyond weights, gradients, optimizer",
        0.5,
        "catalog.steps.full.beyond_gb",
        "{:.2f} GB",
        False,
    ),
    Row(
        "a million items: a sampled step to a full one",
        30,
        "catalog.sampled_ratio",
        beside=_both("catalog.steps.*.step_seconds", "{:.3f} s", ("sampled", "full")),
    ),
    Row("`import t4r_lab`", 0.3, "latency.import_seconds", "{:.2f} s", False),
    Row("`t4r-lab --help`", 0.5, "latency.help_seconds", "{:.2f} s", False),
    Row("`Lab()` first view", 2, "lab.first_view_seconds", "{:.2f} s", False),
    Row("the Lab, from launch to the first training step", 6, "lab.first_step_seconds", "{:.1f} s", False),
    Row("the Lab, slowest callback", 150, "lab.slowest_callback_ms", "{:.0f} ms", False),
    Row("recommend, one session at 20,000 items, p50", 15, "latency.recommend.one_p50_ms", "{:.1f} ms", False),
    Row("recommend, a batch at 20,000 items", 5000, "latency.recommend.batch_per_second", "{:,.0f} sessions/s"),
]


WAITS = (
    ("importing the Lab", None, ("import",)),
    ("from there to its first view", 2, ("first_view",)),
    ("from the cell to the data of the home", 3, ("import", "first_view", "data")),
    ("from the cell to the first estimate of costs", 5, ("import", "first_view", "data", "ready")),
    ("from *Train* to the first training step", 6, ("first_step",)),
    ("comparing two runs", 3, ("compare",)),
    ("*Open in MLflow*, the first time", 8, ("open_mlflow",)),
    ("*Open in MLflow*, again", None, ("open_mlflow_again",)),
)
"""What a person waits for in the Lab, the most seconds that it may take, and the figures that it is the sum of."""


def find(results: Results, path: str) -> Any:
    """What stands at a dotted path.

    Raises
    ------
    KeyError
        if nothing does: it wasn't measured.
    """
    figure: Any = results
    for key in path.split("."):
        figure = figure[key]
    return figure


def _targets(results: Results) -> str:
    lines = ["| figure | target | measured | | ours to theirs |", "|---|---|---|---|---|"]
    for row in ROWS:
        target = f"{'≥' if row.at_least else '≤'} {row.form.format(row.target).replace('.00', '')}"
        try:
            figure = find(results, row.measured)
            form, *paths = row.beside or ("",)
            beside = form.format(*(find(results, path) for path in paths))
        except KeyError:
            lines.append(f"| {row.what} | {target} | not measured | | |")
            continue
        met = figure >= row.target if row.at_least else figure <= row.target
        lines.append(f"| {row.what} | {target} | {row.form.format(figure)} | {'met' if met else 'missed'} | {beside} |")
    return "\n".join(lines)


def _waits(results: Results) -> str:
    lab = results["lab"]
    lines = ["| what | at most | measured |", "|---|---|---|"]
    for what, most, parts in WAITS:
        seconds = sum(lab[f"{part}_seconds"] for part in parts)
        lines.append(f"| {what} | {f'{most} s' if most else ''} | {seconds:.1f} s |")
    return "\n".join(
        [*lines, f"| the slowest callback of a control | 0.15 s | {lab['slowest_callback_ms'] / 1e3:.2f} s |"]
    )


def _curves(results: Results) -> str:
    """What grows with what, a table each."""
    kinds = {
        "prepare": ("sessions prepared", {"seconds": "{:.1f} s", "peak_gb": "{:.2f} GB"}),
        "sessions": ("sessions trained on", {"epoch_seconds": "{:,.1f} s an epoch", "peak_gb": "{:.2f} GB"}),
        "items": ("items", {"step_seconds": "{:.3f} s a step", "peak_gb": "{:.2f} GB"}),
        "lengths": ("events a session", {"step_seconds": "{:.3f} s a step", "peak_gb": "{:.2f} GB"}),
    }
    tables = []
    for name, (label, columns) in kinds.items():
        points = results["scale"]["curves"][name]
        lines = ["| " + " | ".join([label, *(f"{point['size']:,}" for point in points)]) + " |"]
        lines.append("|---" * (1 + len(points)) + "|")
        for key, form in columns.items():
            words = "peak memory" if key == "peak_gb" else key.replace("_", " ")
            lines.append("| " + " | ".join([words, *(form.format(point[key]) for point in points)]) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _ways(results: Results) -> str:
    """What each way costs and brings, beside training as it is."""
    until, ways = results["ways"]["until"], results["ways"]["ways"]
    lines = [f"| | an epoch | epochs to NDCG@10 {f'{until:g}'.lstrip('0')} | seconds to it |", "|---|---|---|---|"]
    for name, way in ways.items():
        reached = [until_reached([1.0] * len(ndcg), ndcg, until) for ndcg in way["ndcg"]]
        epochs = "not reached" if None in reached else f"{statistics.median(e for e in reached if e is not None):.2f}"
        lines.append(f"| {name} | {way['epoch_seconds']:.1f} s | {epochs} | {way['until_seconds']:.1f} s |")
    return "\n".join(lines)


def _precision(results: Results) -> str:
    """What bfloat16 changes, in one sentence."""
    precision = results["precision"]
    low, high = (precision["difference"] + sign * precision["half_width"] for sign in (-1, 1))
    verdict = "no difference beyond noise" if low <= 0 <= high else "a difference"
    means = {p: f"{value:.4f}" for p, value in precision["mean"].items()}
    return (
        f"NDCG@10 on Beauty's validation part, best of {precision['epochs']} epochs, mean of "
        f"{len(precision['ndcg']['float32'])} seeds: {means['bfloat16']} with products in bfloat16, {means['float32']} "
        f"in float32; the difference is {precision['difference']:+.5f} (95 % t-interval {low:+.5f} to {high:+.5f}): "
        f"{verdict}."
    )


def _machines(results: Results) -> str:
    """On what each section was measured, sections of one machine together."""
    benchmarks: dict[str, list[str]] = {}
    for name, section in results.items():
        m = section["machine"]
        words = (
            f"{m['cpu']}, {m['cores']} cores, {m['threads']} threads, {m['system']}, Python {m['python']}, "
            f"torch {m['torch']}, transformers {m['transformers']}"
        )
        benchmarks.setdefault(words, []).append(name)
    return "\n".join(f"- {', '.join(names)}: {words}" for words, names in benchmarks.items())


def draw(curves: Mapping[str, list[dict[str, float]]]) -> None:
    """Seconds and memory over size, both axes logarithmic, beside what growth in proportion would be."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "t4r-lab"  # the same figures give the same file
    from matplotlib import pyplot

    wanted = {
        "prepare": ("sessions prepared", "seconds", "seconds"),
        "sessions": ("sessions trained on", "epoch_seconds", "seconds of an epoch"),
        "items": ("items", "step_seconds", "seconds of a step"),
        "lengths": ("events a session", "step_seconds", "seconds of a step"),
    }
    figure, axes = pyplot.subplots(2, len(wanted), figsize=(14, 6), layout="constrained")
    for column, (name, (label, key, words)) in zip(axes.T, wanted.items(), strict=True):
        sizes = [point["size"] for point in curves[name]]
        for axis, unit, title in zip(column, (key, "peak_gb"), (words, "peak memory, GB"), strict=True):
            values = [point[unit] for point in curves[name]]
            axis.loglog(sizes, values, marker="o", color="#1f6feb")
            axis.loglog(
                sizes,
                [values[-1] * size / sizes[-1] for size in sizes],
                linestyle=":",
                color="gray",
                label="in proportion",
            )
            axis.set(xlabel=label, ylabel=title)
            axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
    axes[0][0].legend(frameon=False)
    figure.savefig(PICTURE, metadata={"Date": None})


def main() -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    contents = {"targets": _targets(results), "machines": _machines(results)}
    if "precision" in results:
        contents["precision"] = _precision(results)
    if "ways" in results:
        contents["ways"] = _ways(results)
    if "scale" in results:
        contents["curves"] = _curves(results)
        draw(results["scale"]["curves"])
    write(PAGE, contents)
    write(LAB_PAGE, {"waits": _waits(results)})


def write(page: Path, contents: Mapping[str, str]) -> None:
    """Replace what stands between the markers of a page."""
    text = page.read_text(encoding="utf-8")
    for name, content in contents.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        assert marked.search(text), f"{page.name} lacks the marker {name}"
        text = marked.sub(lambda m, content=content: f"{m[1]}\n{content}\n\n{m[2]}", text)
    page.write_text(text, encoding="utf-8")
    print(f"written: {page.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
