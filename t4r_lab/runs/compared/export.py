"""A comparison of runs as a file: CSV for other programs, PNG for slides, HTML as a report in one file."""

from __future__ import annotations

import base64
import csv
import html
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from t4r_lab.base.errors import InputError
from t4r_lab.base.files import replacing
from t4r_lab.pictures.short_numbers import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from t4r_lab.runs.analyze import Analysis

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B07500", "#3D8FC4")
GRAY = "#8A8A8A"
DASHES = ("-", "--", ":", "-.")
LOOK = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,  # a name may have a $
    "svg.fonttype": "none",
}
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#24292f}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;display:block;overflow-x:auto}"
    "caption,th{text-align:left}td,th{padding:.25rem 1rem .25rem 0;border-bottom:1px solid #d0d7de;font-weight:400}"
    "thead th{color:#57606a}.n{text-align:right}small{color:#57606a;display:block}img{max-width:100%}"
    ".quiet{color:#57606a}"
)


def write(analysis: Analysis, path: str | Path) -> Path:
    """Write a comparison into a file, whose ending chooses the form.

    Raises
    ------
    InputError
        for another ending, or a file that can't be written; nothing half-written is left behind.
    """
    out = Path(path).expanduser()
    make = FORMS.get(out.suffix.lower())
    if make is None:
        raise InputError(out, "a comparison has no such form", f"end the name in {', '.join(FORMS)}")
    content = make(analysis)
    try:
        with replacing(out) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise InputError(out, f"cannot be written ({error.strerror})", "give a file in a folder of yours") from None
    return out


# ── CSV ─────────────────────────────────────────────────────────────────────────────────────────


def as_csv(analysis: Analysis) -> bytes:
    """A row for each run and baseline: metrics, their 95 % intervals where known, and the knobs that differ."""
    compared = analysis.comparison
    ids = dict(zip(analysis.labels, (row.run_id for row in compared.runs), strict=True))
    metrics = list(dict.fromkeys(name for row in compared.metrics.values() for name in row))
    with_interval = {name for row in analysis.intervals.values() for name in row}
    heads = [[name, *([f"{name} low", f"{name} high"] if name in with_interval else [])] for name in metrics]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "run_id", *(head for group in heads for head in group), *compared.specs])
    for label, row in compared.metrics.items():
        cells: list[object] = []
        for name in metrics:
            ends = analysis.intervals.get(label, {}).get(name, ("", ""))
            cells += [row.get(name, ""), *(ends if name in with_interval else ())]
        knobs = [values.get(label, "") for values in compared.specs.values()]
        writer.writerow([label, ids.get(label, ""), *cells, *knobs])
    return out.getvalue().encode()


# ── figures ─────────────────────────────────────────────────────────────────────────────────────


def as_png(analysis: Analysis) -> bytes:
    """The metric with its intervals, and its curves over the epochs."""
    return _drawn(analysis, "png")


def _drawn(analysis: Analysis, form: str) -> bytes:
    from matplotlib import style

    out = io.BytesIO()
    with style.context(LOOK):
        _figure(analysis).savefig(out, format=form, dpi=160)
    return out.getvalue()


def _figure(analysis: Analysis) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    metrics = {name: m[analysis.metric] for name, m in analysis.comparison.metrics.items() if analysis.metric in m}
    figure = Figure(figsize=(9, 2.2 + 0.32 * max(len(metrics), 4)), layout="constrained")
    FigureCanvasAgg(figure)
    bars, lines = figure.subplots(1, 2)
    colors = {label: COLORS[i % len(COLORS)] for i, label in enumerate(analysis.labels)}
    for at, (label, value) in enumerate(reversed(metrics.items())):
        low, high = analysis.intervals.get(label, {}).get(analysis.metric, (value, value))
        bars.barh(at, value, 0.6, color=colors.get(label, GRAY))
        bars.errorbar(value, at, xerr=[[max(value - low, 0)], [max(high - value, 0)]], color="black", capsize=3)
    bars.set_yticks(range(len(metrics)), list(reversed(metrics)))
    bars.set_title(f"{analysis.metric} with 95 % intervals")
    for i, (label, series) in enumerate(analysis.curves.items()):
        if points := series.get(analysis.metric):
            style = {"color": colors[label], "linestyle": DASHES[i % len(DASHES)], "label": label}
            lines.plot(*zip(*points, strict=True), marker="o", markersize=3, **style)
    lines.set_title(f"{analysis.metric} on the validation part")
    lines.set_xlabel("epoch")
    lines.xaxis.set_major_locator(MaxNLocator(integer=True))
    if lines.lines:
        figure.legend(loc="outside lower right", ncols=2)  # beneath, where long names hide no curve
    return figure


# ── HTML ────────────────────────────────────────────────────────────────────────────────────────


def as_html(analysis: Analysis) -> bytes:
    """A report in one file without scripts: verdicts, metrics with intervals, figures, and what differs."""
    compared, labels = analysis.comparison, analysis.labels
    title = html.escape(f"Comparison of {', '.join(labels)}")
    sentences = [d.sentence for d in compared.differences] + compared.remarks
    sentences += [f"Warning: {label}: {words}" for label, lines in compared.warnings.items() for words in lines]
    picture = base64.b64encode(_drawn(analysis, "svg")).decode()  # as an image, no text in it can be a script
    knobs = [[path, *(str(compared.specs[path].get(label, "–")) for label in labels)] for path in compared.chosen]
    differing = _table("What differs", ["knob", *labels], knobs) if knobs else ""
    ids = [[label, row.run_id, row.data] for label, row in zip(labels, compared.runs, strict=True)]
    body = (
        f"<h1>{title}</h1><ul>{''.join(f'<li>{html.escape(words)}</li>' for words in sentences)}</ul>"
        f"{_metrics(analysis)}<p><img alt='{html.escape(analysis.metric)} of each run, and over the epochs' "
        f"src='data:image/svg+xml;base64,{picture}'></p>{differing}{_table('Runs', ['run', 'id', 'data'], ids)}"
    )
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>'.encode()
    )


def _metrics(analysis: Analysis) -> str:
    """Metrics as rows, runs and baselines as columns."""
    metrics = analysis.comparison.metrics
    names = list(dict.fromkeys(name for row in metrics.values() for name in row))
    names.sort(key=lambda name: name != analysis.metric)  # the one they are compared by first
    rows = ""
    for name in names:
        cells = ""
        for label, row in metrics.items():
            low, high = analysis.intervals.get(label, {}).get(name, (None, None))
            under = f"<small>{number(low)} to {number(high)}</small>" if low is not None else ""
            cells += f'<td class="n">{number(row.get(name))}{under}</td>'
        rows += f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>'
    head = "".join(f'<th scope="col" class="n">{html.escape(label)}</th>' for label in metrics)
    caption = "Metrics on the validation part, with 95 % intervals"
    return f"<table><caption>{caption}</caption><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{html.escape(heading)}</th>' for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<h2>{caption}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


FORMS: dict[str, Callable[[Analysis], bytes]] = {".csv": as_csv, ".png": as_png, ".html": as_html}
"""Ending of the file → what makes its content."""
