"""The commands of runs: train, evaluate, compare, promote, recommend."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from t4r_lab.base import system
from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError
from t4r_lab.base.terminal import lines_of, say
from t4r_lab.cli import output
from t4r_lab.cli.options import Command, add_json, show

if TYPE_CHECKING:
    import polars as pl

    from t4r_lab.runs.results import RunResult
    from t4r_lab.spec import RunSpec


def _add_train(sub: argparse.ArgumentParser) -> None:
    from t4r_lab.spec.presets import PRESETS

    sub.add_argument("spec", nargs="?", help="spec, a YAML or JSON file")
    sub.add_argument(
        "--preset",
        metavar="NAME",
        help=f"a published model on the spec's data, or on --set data.path=…: {', '.join(PRESETS)}",
    )
    sub.add_argument("--set", action="append", default=[], metavar="path=value", help="change one value; repeatable")
    sub.add_argument("--test", action="store_true", help="evaluate on the test part too; the look is counted")
    sub.add_argument("--resume", metavar="RUN", help="resume a stopped run instead of training a spec")
    sub.add_argument("--again", metavar="RUN", help="train the spec of a recorded run again")
    add_json(sub)


def _train(options: argparse.Namespace) -> int:
    from t4r_lab.runs.promote import spec_to_repeat
    from t4r_lab.runs.run import resume, run
    from t4r_lab.spec import parse_assignment

    if sum(map(bool, (options.spec or options.preset, options.resume, options.again))) != 1:
        raise InputError(
            "train",
            "needs one thing to train",
            "give either a spec file, --again RUN or --resume RUN, or --preset NAME",
        )
    changes = dict(parse_assignment(text) for text in options.set)
    system.stop_as_interrupted()  # torchrun sends SIGTERM to all processes of a training when one is killed
    if options.resume:
        if changes:
            raise InputError("--set", "a resumed run keeps its spec", "train a new run to change it")
        result = resume(options.resume, test=options.test)
    elif options.preset:
        result = run(_preset(options, changes).override(changes), test=options.test)
    else:
        spec = spec_to_repeat(options.again) if options.again else _file_spec(options.spec)
        result = run(spec.override(changes), test=options.test)
    show(options, _result(result), lambda: output.run_text(result))
    return 0 if result.status == "FINISHED" else 1


def _file_spec(path: str) -> RunSpec:
    """The spec in a file, which may also have the section ``search:`` of a study."""
    from t4r_lab.spec.study_options import load_study

    spec, section = load_study(path)
    if section:
        say(f"one run of {path}; its section search: is for `t4r-lab tune {path}`")
    return spec


def _preset(options: argparse.Namespace, changes: dict[str, object]) -> RunSpec:
    """The spec of ``--preset``, on the data of the spec file or of ``--set data.path=…``."""
    from t4r_lab.spec import presets

    if not options.spec and "data.path" not in changes:
        raise InputError("--preset", "on which data?", "give a spec file too, or --set data.path=FOLDER")
    base = _file_spec(options.spec) if options.spec else {"data": {"path": changes["data.path"]}}
    return presets.start(options.preset, base)


def _result(result: RunResult) -> dict[str, object]:
    content = {
        "run_id": result.run_id,
        "name": result.name,
        "status": result.status,
        "valid": result.valid,
        "baselines": result.baselines,
        "best_epoch": result.best_epoch,
        "seconds": round(result.seconds, 1),
        "warnings": result.warnings,
    }
    return content if result.test is None else {**content, "test": result.test}


def _add_evaluate(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("run", help="id, beginning of an id, or name of a run")
    sub.add_argument(
        "--split",
        choices=["valid", "test"],
        default="valid",
        help="part of the data; each look at the test part is counted",
    )
    add_json(sub)


def _evaluate(options: argparse.Namespace) -> None:
    from t4r_lab.runs.evaluate import evaluate_run

    result = evaluate_run(options.run, options.split)
    show(options, _result(result), lambda: output.run_text(result))


def _add_compare(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("runs", nargs="+", metavar="RUN", help="ids or names of runs")
    sub.add_argument("--metric", help="metric to compare by (default: the one that the first run monitors)")
    sub.add_argument(
        "--cases",
        type=int,
        default=0,
        metavar="N",
        help="list the first run's N largest wins and losses against the second run, or against a baseline",
    )
    sub.add_argument("--out", metavar="FILE", help="write it as .csv, .png, or a report in one file, .html")
    add_json(sub)


def _compare(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from t4r_lab.runs.analyze import analyze, won_and_lost
    from t4r_lab.runs.compared.export import write

    if options.cases < 0:
        raise InputError("--cases", f"{options.cases} is too small", "give 1 or more, or leave it out")
    analysis = analyze(options.runs, options.metric)
    if options.out:
        write(analysis, options.out)
    compared = analysis.comparison
    other = options.runs[1] if len(options.runs) > 1 else None
    cases = won_and_lost(options.runs[0], other, options.cases) if options.cases else None
    content = {
        "runs": [output.run_content(row) for row in compared.runs],
        "valid": compared.metrics,
        "specs": compared.specs,
        "differences": [{**asdict(d), "sentence": d.sentence} for d in compared.differences],
        "remarks": compared.remarks,
        "warnings": compared.warnings,
        "intervals": analysis.intervals,
        "curves": analysis.curves,
        "slices": analysis.slices,
        "reliability": analysis.reliability,
    }
    if cases:
        content["cases"] = asdict(cases)
    show(
        options,
        content,
        lambda: output.comparison_text(compared, cases),
    )


def _add_runs(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "filter",
        nargs="*",
        metavar="TERM",
        help="words, or terms such as body:gru, state:finished, 'ndcg>0.1', 'learning_rate<0.01', 'time<5min', "
        "'started>=2026-11-01'; all must hold",
    )
    add_json(sub)


def _runs(options: argparse.Namespace) -> None:
    from t4r_lab.base import homes
    from t4r_lab.runs import processes
    from t4r_lab.runs.recorded.run_filter import chosen

    rows = chosen(processes.runs(homes.locate()), " ".join(options.filter))
    show(options, {"runs": [output.run_content(row) for row in rows]}, lambda: output.runs_text(rows))


def _add_promote(sub: argparse.ArgumentParser) -> None:
    from t4r_lab.runs.promote import ALIAS

    sub.add_argument("run", help="id, beginning of an id, or name of a run")
    sub.add_argument("--alias", default=ALIAS, help=f"its alias in the registry (default {ALIAS})")
    add_json(sub)


def _promote(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from t4r_lab.runs.promote import promote

    promotion = promote(options.run, options.alias)
    show(options, asdict(promotion), lambda: output.promotion_text(promotion))


def _add_recommend(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("run", help="id, beginning of an id, or name of a run")
    sub.add_argument("--sessions", help="events of the new sessions, in any format that prepare reads")
    sub.add_argument("--items", nargs="+", metavar="ITEM", help="instead of a file: item ids of one session, in order")
    sub.add_argument("-k", type=int, default=20, help="items per session (default 20)")
    sub.add_argument("--out", help="CSV, TSV or Parquet file; without it the first rows are printed")
    add_json(sub)


def _recommend(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from t4r_lab.data.formats.format_readers import write_table
    from t4r_lab.runs.recommend import LeftOut, recommend

    if bool(options.sessions) == bool(options.items):
        raise InputError("recommend", "needs sessions of one kind", "give either --sessions FILE or --items ITEM …")
    events = _events(options.items) if options.items else options.sessions
    if options.out:
        write_table(None, options.out)  # refuses a wrong ending or folder before anything is computed
    frame = recommend(options.run, events, options.k)
    if options.out:
        write_table(frame, options.out)
    rows = read_json(frame.to_json(orient="records"), "recommendations") if options.json and not options.out else []
    left_out = LeftOut(**frame.attrs["left_out"])
    content = {
        "sessions": int(frame["session"].nunique()),
        "rows": len(frame),
        "out": options.out,
        "left_out": asdict(left_out),
    }
    text = f"{len(frame)} rows in {options.out}" if options.out else output.frame_text(frame, 40)
    lines = lines_of([text, *([left_out.words] if left_out.words else [])])
    show(options, {**content, "recommendations": rows} if rows else content, lambda: lines)


def _events(items: list[str]) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame({"item_id": items})


RUN_COMMANDS = {
    "train": Command(_train, "train a spec and record the run", "train spec.yaml --set train.epochs=5", _add_train),
    "evaluate": Command(_evaluate, "evaluate a recorded run", "evaluate 3f2a9c1d --split test", _add_evaluate),
    "compare": Command(
        _compare, "compare runs with each other and with their baselines", "compare xlnet-mlm gpt2-clm", _add_compare
    ),
    "runs": Command(_runs, "list recorded runs, newest first, by a filter", "runs body:gru 'ndcg>0.1'", _add_runs),
    "promote": Command(
        _promote,
        "register a run under an alias, with its metrics on the test part",
        "promote 3f2a9c1d",
        _add_promote,
    ),
    "recommend": Command(
        _recommend,
        "recommend next items for new sessions",
        "recommend 3f2a9c1d --sessions new.csv --out top.csv",
        _add_recommend,
    ),
}
