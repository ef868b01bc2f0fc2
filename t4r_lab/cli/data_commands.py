"""The commands of data and specs: prepare, describe."""

from __future__ import annotations

import argparse
from pathlib import Path

from t4r_lab.base.errors import InputError
from t4r_lab.cli import output
from t4r_lab.cli.options import Command, add_flag, add_json, show


def _add_prepare(sub: argparse.ArgumentParser) -> None:
    from t4r_lab.families.knobs import walk
    from t4r_lab.spec.preparation import PrepareOptions

    sub.add_argument(
        "events",
        nargs="+",
        help="CSV, TSV, JSON lines, Parquet, RecBole's .inter, or one user per line; also gzip, zstd, bzip2",
    )
    sub.add_argument("--out", required=True, help="folder for the prepared data")
    sub.add_argument("--test", nargs="+", metavar="EVENTS", help="events of a separate test part")
    sub.add_argument("--items", help="table of item attributes")
    sub.add_argument("--users", help="table of user attributes")
    sub.add_argument("--force", action="store_true", help="replace prepared data that runs or studies refer to")
    for knob in walk(PrepareOptions()):
        add_flag(sub, knob)
    add_json(sub)


def _prepare(options: argparse.Namespace) -> None:
    from t4r_lab.runs.prepare_data import prepare
    from t4r_lab.runs.progress import Console
    from t4r_lab.spec.preparation import PrepareOptions

    section = {
        name: getattr(options, name) for name in PrepareOptions.model_fields if getattr(options, name) is not None
    }
    for name, example in (("kinds", "category=categorical"), ("scopes", "brand=item")):
        if name in section:
            section[name] = dict(_pair(text, f"--{name}", example) for text in section[name])
    events = options.events if len(options.events) > 1 else options.events[0]
    with Console() as console:
        dataset = prepare(
            events,
            options.out,
            PrepareOptions.parse(section),
            test=options.test,
            items=options.items,
            users=options.users,
            on_report=console,
            force=options.force,
        )
    from t4r_lab.data.pipeline.describe import describe

    content = {"path": str(dataset.path), "digest": dataset.digest, "profile": dataset.profile}
    show(options, content, lambda: describe(dataset))


def _pair(text: str, flag: str, example: str) -> tuple[str, str]:
    key, equals, value = text.rpartition("=")  # a column's name may contain =
    if not equals:
        raise InputError(f"{flag} {text!r}", "expected COLUMN=VALUE", f"write for example {flag} {example}")
    return key, value


def _add_describe(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "what",
        metavar="DATA|SPEC|RUN",
        help="prepared folder, spec (parameters, memory, seconds per epoch), or recorded run",
    )
    add_json(sub)


def _describe(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    if Path(options.what).is_file():
        return _describe_spec(options)
    from t4r_lab.data.prepared.folder import restore

    restore(Path(options.what))
    if not Path(options.what).exists():
        return _describe_run(options)
    from t4r_lab.data.pipeline.describe import describe
    from t4r_lab.data.pipeline.split_checks import findings
    from t4r_lab.data.prepared.prepared_data import Dataset

    dataset = Dataset.open(options.what)
    checks = [asdict(finding) for finding in findings(dataset.profile)]
    content = {
        "path": str(dataset.path),
        "digest": dataset.digest,
        "schema": dataset.schema.to_dict(),
        "profile": dataset.profile,
        "checks": checks,
    }
    show(options, content, lambda: describe(dataset))


def _describe_spec(options: argparse.Namespace) -> None:
    from t4r_lab.spec import RunSpec
    from t4r_lab.training.estimate import estimate, to_json

    spec = RunSpec.load(options.what)
    costs = estimate(spec)
    content = {**to_json(costs), "parameters": costs.parameters, "memory": costs.memory}
    show(options, content, lambda: output.estimate_text(spec, costs))


def _describe_run(options: argparse.Namespace) -> None:

    from t4r_lab import tracking
    from t4r_lab.base import homes

    home = homes.locate()
    try:
        row = tracking.find(home, options.what)
    except InputError as error:
        problem = f"no such folder of prepared data or file of a spec, and as a run: {error.problem}"
        raise InputError(options.what, problem, error.remedy) from None
    changed = tracking.spec(home, row).changed()
    show(options, {**output.run_content(row), "changed": changed}, lambda: output.described_run_text(row, changed))


DATA_COMMANDS = {
    "prepare": Command(
        _prepare, "turn raw events into a prepared folder", "prepare clicks.csv --out data/shop", _add_prepare
    ),
    "describe": Command(
        _describe,
        "show what is in a prepared folder, what a spec's model costs, or what a run has reached",
        "describe mlruns/data/shop",
        _add_describe,
    ),
}
