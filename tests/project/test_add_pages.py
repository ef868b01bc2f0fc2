"""The pages "add a …": each example works as it stands, in the files that it names and no others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.pages import touched, use

FILES = {
    "add-a-format.md": ["data/formats/key_value_format.py"],
    "add-an-artifact.md": ["runs/results.py"],
    "add-a-knob.md": ["spec/sections.py", "training/optimizer.py"],
    "add-a-command.md": ["cli/run_commands.py"],
    "add-a-panel.md": ["lab/panels/notes_panel.py"],
}
USE = """
import contextlib, io, json, os, sys
from pathlib import Path
home = Path(sys.argv[1]) / "home"
os.environ["T4R_LAB_HOME"] = str(home)
import polars as pl
import t4r_lab
from t4r_lab import tracking
from t4r_lab.cli.program import main
from t4r_lab.lab.app import Lab
from t4r_lab.lab.panels.architecture.spec_form import SpecForm
from t4r_lab.lab.state.draft import Draft
from t4r_lab.spec.space import searchable
from t4r_lab.training.optimizer import rate_factor

def said(*arguments):
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = main(list(arguments))
    return status, out.getvalue(), error.getvalue()

# a format
log = Path(sys.argv[1]) / "log.txt"
log.write_text("".join(f"item={i % 7} session={i // 4} time={1700000000 + i}\\n" for i in range(200)))
data = t4r_lab.prepare(log, home / "logged")
events = sum(len(data.part(part).values["item_id"]) for part in ("train", "valid", "test"))
log.write_text("item=1 session=1 time=1\\nitem=2 session\\n")
format = [events, data.schema.n_items, *said("prepare", str(log), "--out", str(home / "wrong"))]

# a knob
rows = {"session_id": [i // 5 for i in range(600)], "item_id": [(i * i + i // 5) % 11 for i in range(600)], "timestamp": list(range(600))}
t4r_lab.prepare(pl.DataFrame(rows), home / "data")
spec = t4r_lab.RunSpec.parse({
    "data": {"path": str(home / "data"), "max_length": 6}, "train": {"epochs": 1, "learning_rate": 0.01, "floor": 0.25},
    "model": {"body": {"kind": "gru", "d_model": 8, "n_layer": 1}}, "evaluation": {"cutoffs": [3]},
})
result = t4r_lab.run(spec, home=home, on_report=lambda report: None)
rate = rate_factor(spec.train, 100)
try:
    spec.override({"train.floor": 2})
except t4r_lab.InputError as error:
    refused = str(error)
range_ = searchable(spec)["train.floor"]
knob = [rate(50), rate(99), refused, [range_.low, range_.high], "train.floor" in SpecForm(Draft(spec)).fields, result.status]

# an artifact
lines = (tracking.artifacts(home, result.run_id) / "popularity.csv").read_text().splitlines()
artifact = [lines[0], len(lines), sum(int(line.split(",")[1]) for line in lines[1:])]

# a command
before = said("looks", result.run_id, "--json")
t4r_lab.evaluate_run(result.run_id, "test", home=home, on_report=lambda report: None)
command = [before, said("looks", result.run_id[:8]), said("looks", "none")]

# a panel
lab = Lab(home)
lab.tabs.children[-1].children[0].value = "a note"
panel = [list(lab.tabs.titles), (home / "notes.md").read_text()]
lab.close()
print(json.dumps({"format": format, "knob": knob, "artifact": artifact, "command": command, "panel": panel}), flush=True)
os._exit(0)
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process says that uses every example."""
    return use(list(FILES), USE, tmp_path_factory.mktemp("package"))


def test_a_page_touches_the_files_that_it_names() -> None:
    assert {page: touched(page) for page in FILES} == {
        page: [f"t4r_lab/{file}" for file in files] for page, files in FILES.items()
    }


def test_a_format_is_read_and_refused(used: dict[str, Any]) -> None:
    events, items, status, _, error = used["format"]
    assert (events, items, status) == (200, 7, 2)
    assert error.strip().endswith("log.txt, line 2: a field has no key; write each as key=value")


def test_an_artifact_is_left_by_a_run(used: dict[str, Any]) -> None:
    head, lines, events = used["artifact"]
    assert (head, lines) == ("item,events", 12)
    assert 0 < events < 600


def test_a_knob_is_checked_shown_searched_and_used(used: dict[str, Any]) -> None:
    half, end, refused, searched, field, status = used["knob"]
    assert half == pytest.approx(1 - 40 / 90)  # after a tenth of warm-up
    assert end == 0.25
    assert refused.startswith("train.floor: 2 is wrong: input should be less than or equal to 1")
    assert (searched, field, status) == ([0, 0.2], True, "FINISHED")


def test_a_command_is_run_and_refuses(used: dict[str, Any]) -> None:
    before, after, none = used["command"]
    assert before[0] == 0 and '"looks": 0' in before[1]
    assert after[0] == 0 and after[1].endswith(": 1 looks at the test part\n")
    assert none[0] == 2 and none[2].startswith("error: run 'none': no such run")


def test_a_panel_stands_behind_the_others(used: dict[str, Any]) -> None:
    titles, note = used["panel"]
    assert titles == ["Data", "Architecture", "Train", "Tune", "Runs", "Recommend", "Notes"]
    assert note == "a note"
