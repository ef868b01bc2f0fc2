"""Runs side by side: metrics, differences of their specs, and the significance of differences in a metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from t4r_lab import tracking
from t4r_lab.base import homes
from t4r_lab.base.errors import InputError, did_you_mean
from t4r_lab.families.metrics.metric_table import best_baseline, is_paired, is_ranked
from t4r_lab.runs.compared.differences import Cases, Difference, Pair, differences, value
from t4r_lab.spec import RunSpec


@dataclass(frozen=True)
class Comparison:
    """`metrics`: label → metric → value, runs and then baselines; `specs`: path → label → value, where they differ."""

    runs: list[tracking.RunRow]
    metrics: dict[str, dict[str, float]]
    specs: dict[str, dict[str, object]]
    differences: list[Difference]
    remarks: list[str]
    warnings: dict[str, list[str]] = field(default_factory=dict)
    """label of a run → warnings about its metrics"""
    chosen: list[str] = field(default_factory=list)
    """the paths of `specs` that were set, rather than left at the default of their kind"""


def compare(
    runs: list[str],
    *,
    home: str | Path | None = None,
    seed: int = 0,
    metric: str | None = None,
    files: tracking.Artifacts | None = None,
) -> Comparison:
    """Compare recorded runs on the validation part, the baselines beside them.

    Every pair of runs, and each run with the better baseline, is judged at `metric`, by default the first run's
    monitored one; with more than two runs, the verdicts on all pairs, and those on all baselines, are corrected for
    their number by Holm's procedure. Only runs on the same data, evaluated on the same targets, are paired. Pass
    `files` to reuse artifacts that were fetched before.
    """
    home_path = homes.locate(home)
    files = files or tracking.Artifacts(home_path)
    rows = list({row.run_id: row for row in (tracking.find(home_path, run) for run in runs)}.values())
    labels = _labels(rows)
    specs = {row.run_id: tracking.spec(home_path, row, files) for row in rows}
    metrics = {labels[row.run_id]: row.valid for row in rows}
    first, baselines = rows[0], rows[0].baselines["valid"]
    metrics |= baselines
    metric = metric or specs[first.run_id].monitor
    cases, remarks = _comparable_cases(files, rows, labels, metric)
    metrics = _completed(metrics, cases, metric)
    if not any(metric in values for values in metrics.values()) and metric != specs[first.run_id].monitor:
        recorded = list(dict.fromkeys(name for values in metrics.values() for name in values))
        raise InputError("metric", f"{metric!r} is not in the record of these runs", did_you_mean(metric, recorded))
    families = _families([labels[r.run_id] for r in rows], list(baselines), metrics, metric)
    judged, unlike = differences(families, cases, metric, seed, corrected=len(rows) > 2)
    remarks += [f"{a} and {b} were judged at different targets: not paired" for a, b in unlike]
    all_warnings = {labels[r.run_id]: [*r.warnings.get("train", []), *r.warnings.get("valid", [])] for r in rows}
    warnings = {label: words for label, words in all_warnings.items() if words}
    differing = _differing(specs, labels)
    chosen = _chosen(specs.values(), differing)
    return Comparison(rows, metrics, differing, judged, remarks, warnings, chosen)


def _comparable_cases(
    files: tracking.Artifacts, rows: list[tracking.RunRow], labels: Mapping[str, str], metric: str
) -> tuple[dict[str, Cases], list[str]]:
    """Label → cases of the runs on the data of the first, and of its baselines; and why other runs have none."""
    cases: dict[str, Cases | None] = {}
    remarks, first = [], rows[0]
    for row in rows:
        label = labels[row.run_id]
        if row.digest != first.digest:
            remarks.append(f"{label} was trained on other data than {labels[first.run_id]}: not paired")
            continue
        cases[label] = cases_of(files, row, "model", metric)
        if cases[label] is None:
            remarks.append(f"{label} has no cases of {metric}: not paired")
    cases |= {name: cases_of(files, first, name, metric) for name in first.baselines["valid"]}
    return {label: columns for label, columns in cases.items() if columns is not None}, remarks


def _completed(
    metrics: Mapping[str, dict[str, float]], cases: Mapping[str, Cases], metric: str
) -> dict[str, dict[str, float]]:
    """`metrics` by label, with `metric` from the recorded ranks of those that lack it, such as at another cutoff."""
    if not is_ranked(metric):
        return dict(metrics)
    missing = {label for label, columns in cases.items() if metric not in metrics[label] and len(columns["rank"])}
    values = {label: value(cases[label], metric) for label in missing}
    return {label: row | ({metric: values[label]} if label in missing else {}) for label, row in metrics.items()}


def _labels(rows: list[tracking.RunRow]) -> dict[str, str]:
    """Run id → name, made unique by the beginning of the id where two runs, or a run and a baseline, share it."""
    names = [*(row.name for row in rows), *rows[0].baselines["valid"]]
    return {r.run_id: r.name if names.count(r.name) == 1 else f"{r.name} ({r.run_id[:6]})" for r in rows}


def cases_of(
    files: tracking.Artifacts, row: tracking.RunRow, name: str, metric: str, part: str = "valid"
) -> Cases | None:
    """The recorded cases of a part that `metric` is computed from, of the run (``model``) or its baseline `name`."""
    from t4r_lab.data.read.frames import read_parquet

    if not is_paired(metric):
        return None
    label, slash, _ = metric.rpartition("/")
    folder = f"labels/{part}/{label}" if slash else f"ranks/{part}"
    path = files.path(row.run_id, f"{folder}/{name}.parquet")
    if not path.exists():
        return None
    return {column.name: column.to_numpy() for column in read_parquet(path).iter_columns()}


def _families(
    runs: list[str], baselines: list[str], metrics: dict[str, dict[str, float]], metric: str
) -> tuple[list[Pair], list[Pair]]:
    """The pairs of runs, and each run with the best baseline."""
    between = [(a, b) for i, a in enumerate(runs) for b in runs[i + 1 :]]
    best = best_baseline({name: metrics[name] for name in baselines}, metric)
    return between, [] if best is None else [(run, best) for run in runs]


def _chosen(specs: Iterable[RunSpec], differing: Iterable[str]) -> list[str]:
    knobs = [spec.knobs() for spec in specs]
    return [
        path
        for path in differing
        if any(path in section and section[path].value != section[path].default for section in knobs)
    ]


def _differing(specs: dict[str, RunSpec], labels: dict[str, str]) -> dict[str, dict[str, object]]:
    flat = {labels[run]: spec.flat() for run, spec in specs.items()}
    paths = list(dict.fromkeys(path for values in flat.values() for path in values))
    values_of = {path: {label: values.get(path, "–") for label, values in flat.items()} for path in paths}
    return {p: v for p, v in values_of.items() if p != "name" and len({str(x) for x in v.values()}) > 1}
