"""Custom parts, from a module of hers: trained, searched, run as a job in another process, and used."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from t4r_lab.families import custom
from tests import ROOT
from tests.support.small import small_data

PAGE = (ROOT / "docs" / "custom-parts.md").read_text(encoding="utf-8")
MODULE, SPEC = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[1] for kind in ("python", "yaml"))  # type: ignore[index]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module, prepared data and a spec."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "shopparts.py").write_text(MODULE)
    (folder / "spec.yaml").write_text(SPEC.replace("data/shop", str(small_data(folder / "data", 120))))
    return folder


def asked(place: Path, program: str, *arguments: str) -> tuple[int, str, str]:
    """Exit status and outputs of a process that has the module on its path and trusts nothing by itself."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=place,
        capture_output=True,
        text=True,
        env={
            **{name: value for name, value in os.environ.items() if name != custom.VARIABLE},
            "PYTHONPATH": os.pathsep.join([str(place), *sys.path]),
            "T4R_LAB_HOME": str(place / "home"),
        },
    )
    return done.returncode, done.stdout, done.stderr


CLI = "import sys; from t4r_lab.cli.program import main; sys.exit(main(sys.argv[1:]))"
USE = """
import json
import os
import time
from pathlib import Path
import torch
import t4r_lab
from t4r_lab import jobs, tracking
from t4r_lab.lab.panels.architecture.feature_table import FeatureEditor
from t4r_lab.lab.panels.architecture.spec_form import SpecForm
from t4r_lab.lab.state.draft import Draft
from t4r_lab.runs.analyze import analyze
from t4r_lab.runs.recommend import recommend
from t4r_lab.runs.script import to_python
from t4r_lab.spec.space import search_space, searchable
from t4r_lab.training.assembly import build

refused = ""
try:
    t4r_lab.RunSpec.load("spec.yaml")
except t4r_lab.InputError as error:
    refused = str(error)
spec = t4r_lab.RunSpec.load("spec.yaml", trust=["shopparts"])
import shopparts
data = t4r_lab.Dataset.open(spec.data.path)
made = t4r_lab.RunSpec.parse({**spec.to_dict(), "model": {"inputs": {"features": {"item_id": {}, "price": shopparts.Waves(dim=4, first=0.5)}}, "masking": shopparts.Newest(count=2), "body": shopparts.RunningMean(d_model=8, decay=0.5), "heads": [{"kind": "next_item", "loss": shopparts.Hinge(negatives=16, margin=0.5, sampler=shopparts.Power(exponent=0.5))}]}, "evaluation": {"cutoffs": [5], "metrics": [shopparts.effort]}})
program, built = {}, build(spec, data.schema, data.item_table(), item_counts=data.part("train").item_counts(data.schema.n_items))
text = to_python(spec, data.schema)
exec(text.partition("with Console")[0], program)
form = SpecForm(Draft(spec, data.schema))
edits = {}
row = FeatureEditor(Draft(spec, data.schema), edits.__setitem__).rows["price"]
row.more.value = True
row.fields["first"].control.value = 2.0
paths = ["model.body.decay", "model.masking.count", "model.heads.0.loss.margin", "model.heads.0.loss.sampler.exponent"]
space = search_space(spec, [], dict.fromkeys([*paths, "model.inputs.features.price.first"]))
price = built.heads[0].body.inputs.encoders["price"]
job = jobs.launch(spec, Path("home").resolve())
while job.status().state in jobs.ACTIVE:
    time.sleep(0.05)
run = job.status().run_id
analysis = analyze([run], home="home")
sessions = {"session_id": [1, 1], "item_id": [str(item) for item in data.items["item"].to_list()[:2]], "timestamp": [1, 2]}
import polars as pl
os.environ.pop("T4R_LAB_TRUST")
distrusted = ""
try:
    recommend(run, pl.DataFrame(sessions), 3, home="home")
except t4r_lab.InputError as error:
    distrusted = str(error)
recommended = len(recommend(run, pl.DataFrame(sessions), 3, home="home", trust=["shopparts"]))
print(json.dumps({
    "refused": refused,
    "distrusted": distrusted,
    "recommended": recommended,
    "same": made == spec,
    "weights": all(torch.equal(a, b) for a, b in zip(built.state_dict().values(), program["model"].state_dict().values(), strict=True)),
    "fields": [path in form.fields for path in paths],
    "kind": form.fields["model.body.kind"].control.value,
    "row": [row.encoding.value, edits["model.inputs.features"]["price"]],
    "sines": price(torch.tensor([0.3, -1.0])).tolist(),
    "range": [[domain.low, domain.high] for domain in space.values()],
    "set": spec.override({"model.body.decay": 0.25}).model.body.decay,
    "job": [job.status().state, job.status().error],
    "metrics": [spec.metrics, spec.monitor, form.fields["train.monitor"].control.value, form.fields["evaluation.metrics"].control.value],
    "recorded": [tracking.find(Path("home").resolve(), run).valid, analysis.metric, analysis.intervals["own"], analysis.slices["own"][0], [d.metric for d in analysis.comparison.differences]],
    "curve": analysis.curves["own"],
    "ranks": pl.read_parquet(next(Path("home").rglob(f"{run}/**/ranks/valid/model.parquet")))["rank"].to_list(),
    "imports": [line for line in text.splitlines() if line.startswith("from shopparts")],
}))
"""


def test_from_the_shell_a_part_is_searched_and_used_where_it_is_trusted(place: Path) -> None:
    status, out, error = asked(place, CLI, "train", "spec.yaml")
    assert (status, out) == (2, "")
    refused = "model.inputs.features.price.encoding: 'shopparts:Waves' is code of the module 'shopparts'"
    assert f"{refused}, which isn't trusted" in error
    assert "--trust shopparts" in error
    search = (
        "--search",
        "model.body.decay",
        "--search",
        "model.inputs.features.price.first",
        "--search",
        "model.heads.0.loss.margin",
        "--trials",
        "2",
        "--pruner",
        "none",
    )
    status, out, error = asked(place, CLI, "tune", "spec.yaml", *search, "--trust", "shopparts", "--json")
    assert status == 0, error
    study = json.loads(out)
    assert study["trials"] == {"finished": 2}
    (objective,) = study["objectives"]
    assert objective == "shopparts:effort@5"
    assert study["best"]["values"][objective] <= study["start"]["values"][objective]  # less is better


LOAD = """
import sys
from pathlib import Path
from t4r_lab.base.checksums import seal
from t4r_lab.base.errors import InputError
from t4r_lab.training import assembly
folder = Path("distrusted")
folder.mkdir()
(folder / assembly.SPEC).write_text('{"data": {"path": "d"}, "model": {"body": {"kind": "shopparts:RunningMean"}}}')
seal(folder)
try:
    assembly.load(folder)
except InputError as error:
    print(error.path, error.problem, "torch" in sys.modules, sep="|")
"""


def test_a_model_that_lacks_trust_is_refused_before_torch_is_imported(place: Path) -> None:
    status, out, error = asked(place, LOAD)
    assert status == 0, error
    path, problem, has_torch = out.strip().split("|")
    assert path.endswith("model.body.kind")
    assert problem.endswith("which isn't trusted")
    assert has_torch == "False"


def test_in_python_it_is_shown_written_out_run_in_another_process_and_used(place: Path) -> None:
    status, out, error = asked(place, USE)
    assert status == 0, error
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert "which isn't trusted" in found["refused"]
    assert found["same"] and found["weights"]
    assert found["fields"] == [True] * 4
    assert found["kind"] == "shopparts:RunningMean"
    assert found["row"] == ["shopparts:Waves", {"encoding": "shopparts:Waves", "dim": 4, "first": 2.0}]
    sines = [[math.sin(x * 0.5 * 2**i) for i in range(4)] for x in (0.3, -1.0)]
    assert found["sines"] == [pytest.approx(row, rel=1e-5) for row in sines]
    assert found["range"] == [[0.3, 1.0], [1, 5], [0.1, 3.0], [0.0, 1.0], [0.1, 10.0]]
    assert found["set"] == 0.25
    assert found["job"] == ["finished", ""]
    assert found["imports"] == ["from shopparts import Hinge, Newest, Power, RunningMean, Waves"]
    assert "'shopparts:Waves' is code of the module 'shopparts', which isn't trusted" in found["distrusted"]
    assert found["recommended"] == 3
    metric = "shopparts:effort@5"
    assert found["metrics"] == [["ndcg@5", "recall@5", "mrr@5", metric], metric, metric, "shopparts:effort"]
    valid, compared_by, intervals, slices, differences = found["recorded"]
    assert valid[metric] == pytest.approx(sum(min(rank, 5) for rank in found["ranks"]) / len(found["ranks"]))
    assert found["curve"][metric] == [[1, pytest.approx(valid[metric])]]
    assert (compared_by, differences) == (metric, [metric])
    low, high = intervals[metric]
    assert low <= valid[metric] <= high
    assert slices[metric]["low"] <= slices[metric]["mean"] <= slices[metric]["high"]


METRIC = """
import json
import os
import polars as pl
import t4r_lab
from t4r_lab.lab.panels.runs.comparison import figures
from t4r_lab.lab.panels.runs.run_columns import cells, headings
from t4r_lab.lab.state import source
from t4r_lab.runs.analyze import analyze
from t4r_lab.runs.evaluate import evaluate_run
from pathlib import Path

metric = "shopparts:effort@5"
plain = t4r_lab.RunSpec.load("spec.yaml", trust=["shopparts"]).to_dict()
plain = {"name": "plain", "data": plain["data"], "train": {"epochs": 1}, "evaluation": {"cutoffs": [5]}}
spec = t4r_lab.RunSpec.parse(plain).override({"evaluation.metrics": ["shopparts:effort"], "train.monitor": metric})
result = t4r_lab.run(spec, home="plain")
run = result.run_id

def rows():
    (summary,) = source.runs(Path("plain").resolve())
    return [cell.text for cell in cells(summary, metric)], [cell.strong for cell in cells(summary, metric)], [h.help for h in headings(metric)]

def refusal(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except t4r_lab.InputError as error:
        return str(error)

trusted = rows()
os.environ.pop("T4R_LAB_TRUST")
data = t4r_lab.Dataset.open(spec.data.path)
sessions = {"session_id": [1, 1], "item_id": [str(item) for item in data.items["item"].to_list()[:2]], "timestamp": [1, 2]}
analysis = analyze([run], "ndcg@5", home="plain")
print(json.dumps({
    "values": [result.valid[metric], *(metrics[metric] for metrics in result.baselines["valid"].values())],
    "trusted": trusted,
    "untrusted": rows(),
    "recommended": len(t4r_lab.recommend(run, pl.DataFrame(sessions), 3, home="plain")),
    "intervals": sorted(analysis.intervals["plain"]),
    "figures": [metric in figures(analysis), "ndcg@5" in figures(analysis)],
    "refused": [
        refusal(t4r_lab.run, spec, home="plain"),
        refusal(evaluate_run, run, home="plain"),
        refusal(t4r_lab.compare, [run], home="plain"),
    ],
}))
"""


def test_the_module_of_a_metric_is_needed_where_it_is_computed_alone(place: Path) -> None:
    status, out, error = asked(place, METRIC)
    assert status == 0, error
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    texts, strong, helps = found["trusted"]
    value, *baselines = found["values"]
    assert float(texts[8].removesuffix(" %").replace("−", "-")) == pytest.approx(
        100 * (value / min(baselines) - 1), abs=0.1
    )
    assert strong[5] is (value < min(baselines))
    assert any("items read up to the target" in help for help in helps)
    untrusted_texts, untrusted_strong, untrusted_helps = found["untrusted"]
    assert untrusted_texts[:8] == texts[:8]  # the values themselves
    assert untrusted_texts[8] == "–" and not any(untrusted_strong)
    assert not any("items read up to the target" in help for help in untrusted_helps)
    assert found["recommended"] == 3
    assert found["intervals"] == ["mrr@5", "ndcg@5", "recall@5"]
    assert found["figures"] == [False, True]
    for refused in found["refused"]:
        assert (
            "evaluation.metrics: 'shopparts:effort' is code of the module 'shopparts', which isn't trusted" in refused
        )
