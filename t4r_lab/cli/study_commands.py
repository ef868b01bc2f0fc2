"""The commands of studies: tune, worker, studies, finalize."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from t4r_lab.base import system
from t4r_lab.base.errors import InputError
from t4r_lab.cli import output
from t4r_lab.cli.options import Command, add_flag, add_json, show

if TYPE_CHECKING:
    from t4r_lab.tuning.lead import StudyResult
    from t4r_lab.tuning.studies.study import Trial


def _storage(sub: argparse.ArgumentParser) -> None:
    from t4r_lab.tuning.studies.storage_address import HELP, VARIABLE

    sub.add_argument(
        "--storage", metavar="URL", help=f"{HELP}; also set by ${VARIABLE}", default=os.environ.get(VARIABLE)
    )


def _add_tune(sub: argparse.ArgumentParser) -> None:
    from t4r_lab.families.knobs import walk
    from t4r_lab.spec.study_options import StudyOptions

    sub.add_argument("spec", help="YAML or JSON spec, which becomes trial 0; may have a section `search:`")
    sub.add_argument(
        "--study", metavar="NAME", help="study to start, or to continue if it exists (default: the spec's name)"
    )
    sub.add_argument(
        "--search",
        action="append",
        default=[],
        metavar="path[=low:high[:log]]",
        help="search a path over its default range, a given range, or choices (path=a,b,c); repeatable",
    )
    sub.add_argument("--set", action="append", default=[], metavar="path=value", help="change the spec; repeatable")
    for knob in walk(StudyOptions()):
        if knob.path != "space":
            add_flag(sub, knob)
    sub.add_argument(
        "--detach", action="store_true", help="run in the background; continues after this shell is closed"
    )
    _storage(sub)
    add_json(sub)


def _tune(options: argparse.Namespace) -> int:
    from t4r_lab.spec import parse_assignment
    from t4r_lab.spec.domains import parse_search
    from t4r_lab.spec.study_options import StudyOptions, load_study
    from t4r_lab.tuning.lead import tune

    spec, section = load_study(options.spec)
    values = {name: getattr(options, name, None) for name in StudyOptions.model_fields}
    section |= {name: value for name, value in values.items() if value is not None}
    section["space"] = {**(section.get("space") or {}), **dict(parse_search(text) for text in options.search)}
    study_options = StudyOptions.parse(section)
    spec = spec.override(dict(parse_assignment(text) for text in options.set))
    if options.detach:
        from t4r_lab.base import homes
        from t4r_lab.tuning.detached import launch

        study = launch(spec, study_options, options.study or spec.name, homes.ensure(), options.storage)
        show(
            options,
            {"study": study.name, "log": str(study.folder / "log.txt")},
            lambda: f"study {study.name} runs in the background; see `t4r-lab studies show {study.name}`",
        )
        return 0
    # else a SIGTERM to this process alone, as by `timeout`, would leave its workers running
    system.stop_as_interrupted()
    result = tune(spec, study_options, options.study, storage=options.storage)
    show(options, _study(result), lambda: output.study_text(result))
    return 0 if result.status == "finished" and result.front else 1


def _study(result: StudyResult) -> dict[str, object]:
    best = result.front[0] if result.front else None
    return {
        "study": result.name,
        "run_id": result.run_id,
        "status": result.status,
        "storage": result.storage,
        "trials": result.counts,
        "objectives": list(result.objectives),
        "best": _trial(best) if best else None,
        "valid": best.metrics if best else {},
        "start": _trial(result.start) if result.start else None,
        "front": [_trial(t) for t in result.front],
        "importance": result.importance,
        "no_importance": result.no_importance,
        "ties": result.ties,
        "remark": result.remark,
        "spec": result.best.to_dict() if result.best else None,
        "seconds": round(result.seconds, 1),
    }


def _trial(trial: Trial) -> dict[str, object]:
    return {"trial": trial.number, "values": trial.values, "params": trial.params, "metrics": trial.metrics}


def _add_worker(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--study", required=True, metavar="NAME", help="name of a study started by `t4r-lab tune`")
    sub.add_argument("--minutes", type=float, help="start no trial that wouldn't finish within this many minutes")
    sub.add_argument("--threads", type=int, default=0, help="threads of this worker (default: all)")
    _storage(sub)
    add_json(sub)


def _worker(options: argparse.Namespace) -> None:
    import time

    from t4r_lab.base import homes
    from t4r_lab.tuning.studies.storage_address import address
    from t4r_lab.tuning.worker import Orders, name_worker, random_seed, work

    for name, low in (("minutes", 0.01), ("threads", 0)):
        if (value := getattr(options, name)) is not None and value < low:
            raise InputError(f"worker --{name}", f"{value:g} is too small", f"give {low:g} or more")
    home = homes.ensure()
    until = time.time() + 60 * options.minutes if options.minutes else None
    orders = Orders(
        options.study, address(home, options.storage), str(home), name_worker(), random_seed(), until, options.threads
    )
    done = work(orders)
    show(options, {"study": options.study, "trials": done}, lambda: f"study {options.study}: {done} trials tried here")


def _add_studies(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "action",
        nargs="?",
        choices=["list", "show", "pause", "resume", "stop"],
        default="list",
        help="show: list every trial with its outcome; pause: workers wait after the current batch and keep their "
        "trials; stop: workers end after it, and their trials are repeated later; resume: continue a paused study, or "
        "restart a stopped one in the background",
    )
    sub.add_argument("study", nargs="?", help="name of the study")
    _storage(sub)
    add_json(sub)


def _studies(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from t4r_lab.tuning import lead

    if options.action == "list":
        rows = lead.listed(storage=options.storage)
        content = {"studies": [row.name for row in rows], "table": [asdict(row) for row in rows]}
        none = "no studies; begin one with `t4r-lab tune`"
        show(options, content, lambda: output.studies_text(rows) if rows else none)
        return
    if not options.study:
        raise InputError(f"studies {options.action}", "which study?", "give a name of `t4r-lab studies`")
    if options.action == "stop":
        lead.stop(options.study, storage=options.storage)
    elif options.action == "pause":
        lead.pause(options.study, storage=options.storage)
    elif options.action == "resume":
        from t4r_lab.base import homes
        from t4r_lab.tuning.detached import resume

        resume(options.study, homes.ensure(), options.storage)
    result, trials = lead.report(options.study, storage=options.storage)
    show(
        options,
        {**_study(result), "table": [asdict(trial) for trial in trials]},
        lambda: output.study_text(result, trials),
    )


def _add_finalize(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("study", help="name of the study")
    sub.add_argument(
        "--seeds", type=int, default=3, help="number of seeds for the best and the starting spec (default 3)"
    )
    sub.add_argument("--trial", type=int, metavar="N", help="use this trial's spec instead of the best one")
    _storage(sub)
    add_json(sub)


def _finalize(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from t4r_lab.tuning.finalize import finalize

    final = finalize(options.study, options.seeds, options.trial, storage=options.storage)
    content = asdict(final)
    content["study"], content["differences"] = (
        content.pop("name"),
        [{**asdict(d), "sentence": d.sentence} for d in final.differences],
    )
    show(options, content, lambda: output.final_text(final))


STUDY_COMMANDS = {
    "tune": Command(
        _tune,
        "search for a better spec",
        "tune spec.yaml --presets regularizers --trials 40 --workers 2",
        _add_tune,
    ),
    "worker": Command(
        _worker,
        "run trials of a study started elsewhere",
        "worker --study shop --storage postgresql://lab@host/studies",
        _add_worker,
    ),
    "studies": Command(_studies, "list, show, pause, resume or stop studies", "studies show shop", _add_studies),
    "finalize": Command(
        _finalize,
        "retrain a study's best spec and evaluate it on the test part",
        "finalize shop --seeds 3",
        _add_finalize,
    ),
}
