"""What a spec is refused for, tried on every face: the same words, exit status 2, and nothing is written."""

from __future__ import annotations

import contextlib
import copy
import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH

from t4r_lab import jobs, tracking
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import silent
from t4r_lab.baselines.baseline_table import BASELINES, CONSTANT
from t4r_lab.cli.program import main
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.pipeline.synthetic import Generator
from t4r_lab.data.prepared.prepared_data import Dataset
from t4r_lab.lab.panels.architecture.architecture_panel import ArchitecturePanel
from t4r_lab.lab.state import source
from t4r_lab.lab.state.cost import CostEstimate
from t4r_lab.lab.state.draft import Draft
from t4r_lab.runs import evaluate as evaluation
from t4r_lab.runs import run as runner
from t4r_lab.spec import RunSpec
from t4r_lab.spec.study_options import Plan, StudyOptions
from t4r_lab.training import checkpoint
from t4r_lab.training.estimate import estimate
from t4r_lab.training.experiment import LONGEST_NAME, Experiment
from t4r_lab.tuning import finalize, worker
from t4r_lab.tuning.studies import open_study, study
from t4r_lab.tuning.studies.storage import connect
from t4r_lab.tuning.studies.storage_address import address
from tests.support.small import small_data, small_spec

RATE = "train.learning_rate"
FEATURES = "model.inputs.features"


def heads(*specs: dict[str, Any]) -> dict[str, Any]:
    return {"model.heads": list(specs)}


# ── the table ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Row:
    """Data (see `folders`), what is changed of a spec that is fine on ordinary data, and words of the refusal.

    A run that was `trained` is judged without what only a training needs; it is refused for the rest.
    """

    data: str
    changes: dict[str, Any]
    words: str
    judged: bool = False


ROWS = {
    "a label of whole sessions on leave-one-out data": Row(
        "leave one out",
        heads({"kind": "binary", "column": "purchase"}),
        "label 'purchase' is of the whole session, and leave-one-out puts each of them with its label into training",
        judged=True,
    ),
    "the same beside the next item": Row(
        "leave one out",
        heads({"kind": "next_item"}, {"kind": "binary", "column": "purchase"}),
        "label 'purchase' is of the whole session, and leave-one-out puts each of them with its label into training",
        judged=True,
    ),
    "a label that training lacks": Row(
        "labels",
        heads({"kind": "regression", "column": "late"}),
        "label 'late' is missing in every session of the training part; take another column",
        judged=True,
    ),
    "a label that validation lacks": Row(
        "labels",
        heads({"kind": "regression", "column": "early"}),
        "label 'early' is missing in every session of the validation part; take another column",
        judged=True,
    ),
    "a label of one class": Row(
        "labels",
        heads({"kind": "binary", "column": "same"}),
        "label 'same' has one class only in the training part; take another column",
        judged=True,
    ),
    "a yes or no that is neither": Row(
        "labels",
        heads({"kind": "binary", "column": "stars"}),
        "label 'stars' holds 0 to 2, not 0 and 1; use kind regression",
        judged=True,
    ),
    "a yes or no that is a half": Row(
        "labels",
        heads({"kind": "binary", "column": "half"}),
        "label 'half' holds 0 to 1, not 0 and 1; use kind regression",
        judged=True,
    ),
    "a yes or no that is neither in the test part": Row(
        "labels",
        heads({"kind": "binary", "column": "at_last"}),
        "label 'at_last' holds 0 to 2, not 0 and 1; use kind regression",
        judged=True,
    ),
    "a yes or no of three classes": Row(
        "labels",
        heads({"kind": "binary", "column": "mood"}),
        "binary is not for label 'mood', which has 3 classes; use kind categorical",
    ),
    "a label that the data lack": Row(
        "labels", heads({"kind": "binary", "column": "starz"}), "the data has no label 'starz'; did you mean 'stars'"
    ),
    "a label that is a feature": Row(
        "shop", heads({"kind": "categorical", "column": "category"}), "it is a feature; prepare it with"
    ),
    "a label of another kind": Row(
        "labels",
        heads({"kind": "categorical", "column": "stars"}),
        "categorical is not for label 'stars', which has numbers; use kind binary or kind regression",
    ),
    "a summary for a label of events": Row(
        "labels",
        heads({"kind": "regression", "column": "stars", "summary": "mean"}),
        "summary: 'mean' is for labels of sessions, but 'stars' is predicted at each event; use summary last",
    ),
    "a label as a feature": Row("shop", {f"{FEATURES}.purchase": {}}, "the data has no such feature"),
    "a feature that the data lack": Row(
        "shop", {f"{FEATURES}.categry.dim": 3}, "the data has no such feature; did you mean 'category'"
    ),
    "widths that can't be added": Row(
        "shop",
        {"model.inputs.aggregation": "element-wise-sum", f"{FEATURES}.category.dim": 3},
        "element-wise-sum needs one width, but the item has 8 and category has 3",
    ),
    "vectors of another length": Row(
        "shop",
        {f"{FEATURES}.text.vectors": {"path": "short.npy"}},
        "short.npy: has shape (7, 4), but there are ids 1 to 40",
    ),
    "vectors that aren't there": Row(
        "shop", {f"{FEATURES}.text.vectors": {"path": "none.npy"}}, "none.npy: no such file; check the path"
    ),
    "vectors of fewer ids than their table": Row(
        "shop",
        {
            f"{FEATURES}.item_id": {"table": "both"},
            f"{FEATURES}.category": {"table": "both", "vectors": {"path": "categories.npy"}},
        },
        "are of 13 ids, but its table 'both' has 40; give them to the feature with the most ids",
    ),
    "a pair of body and masking": Row(
        "shop", {"model.masking": {"kind": "mlm"}}, "masking 'mlm' is not for body 'gru'"
    ),
    "heads that don't divide the width": Row(
        "shop",
        {"model.body": {"kind": "gpt2", "d_model": 8, "n_head": 3, "n_layer": 1}},
        "n_head 3 does not divide d_model 8; choose n_head from [1, 2, 4, 8]",
    ),
    "spans as long as sessions": Row(
        "shop",
        {
            "model.body": {"kind": "xlnet", "d_model": 8, "n_head": 2, "n_layer": 1},
            "model.masking": {"kind": "plm", "max_span_length": 8},
        },
        "8 must be below data.max_length 8",
    ),
    "no length at all": Row("shop", {"data.max_length": 1}, "1 is wrong: input should be greater than or equal to 2"),
    "a metric that isn't computed": Row("shop", {"train.monitor": "ndcg@7"}, "'ndcg@7' is not computed; did you mean"),
    "a metric of items where none are predicted": Row(
        "labels",
        {**heads({"kind": "regression", "column": "stars"}), "evaluation.metrics": ["shopparts:effort"]},
        "'shopparts:effort' is computed from ranks of items, but no head predicts items; add a head of kind next_item",
    ),
    "a monitor of items where none are predicted": Row(
        "labels",
        {**heads({"kind": "regression", "column": "stars"}), "train.monitor": "ndcg@5"},
        "'ndcg@5' is not computed, since no head predicts items; choose from: stars/rmse",
    ),
    "a metric of a longer name than MLflow's": Row(
        "shop",
        {"evaluation.metrics": [f"shopparts:{'x' * 240}"]},
        "a name of 252 characters, of which the record in MLflow holds 220; shorten",
    ),
    "a precision that the device lacks": Row(
        "shop",
        {"train.precision": "float16", "train.device": "cpu"},
        "float16 needs an accelerator; use float32 or bfloat16",
    ),
    "sessions of one event": Row("short", {}, "no training session has two events; prepare with longer sessions"),
    "data that aren't there": Row("nowhere", {}, "no such folder of prepared data; run `t4r-lab prepare`", judged=True),
    "a folder of other things": Row("other", {}, "holds no prepared data (manifest.json is missing)", judged=True),
    "data that are damaged": Row("damaged", {}, "is corrupt (its checksum is not the one written)", judged=True),
    "data of which a file is gone": Row("torn", {}, "is missing; prepare the data again", judged=True),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data by the names of the table, and files of vectors."""
    root = tmp_path_factory.mktemp("refused")
    shop = Generator(n_items=40).events(200)
    prepare(shop, root / "shop", PrepareOptions(targets=["purchase"]))
    prepare(shop, root / "leave one out", PrepareOptions(targets=["purchase"], split="leave_one_out"))
    number, rng = shop["session_id"].to_numpy(), np.random.default_rng(0)
    half = rng.integers(0, 3, len(shop)) / 2
    labels = shop.drop("price", "purchase").with_columns(
        late=pl.Series(np.where(number > 190, half, np.nan)),
        early=pl.Series(np.where(number < 100, half, np.nan)),
        same=pl.Series(np.where(number > 190, 1.0, 0.0)),
        stars=pl.Series(2 * half),
        half=pl.Series(half),
        at_last=pl.Series(np.where(np.arange(len(shop)) == shop["timestamp"].arg_max(), 2.0, number % 2)),
        mood=pl.Series([("bad", "fair", "good")[n % 3] for n in number]),
    )
    names = ["late", "early", "same", "stars", "half", "at_last"]
    options = PrepareOptions(
        targets=[*names, "mood"], kinds=dict.fromkeys(names, "continuous"), scopes=dict.fromkeys(names, "event")
    )
    at_last = prepare(labels, root / "labels", options).part
    assert [at_last(part).values["at_last"].max() for part in ("train", "valid", "test")] == [1, 1, 2]
    three = {"session_id": np.repeat(np.arange(40), 3), "item_id": np.arange(120) % 12, "timestamp": np.arange(120)}
    prepare(pl.DataFrame(three), root / "short", PrepareOptions(split="leave_one_out"))
    for name in ("damaged", "torn"):
        shutil.copytree(root / "shop", root / name)
    (root / "torn" / "schema.json").unlink()
    text = (root / "damaged" / "schema.json").read_text()
    (root / "damaged" / "schema.json").write_text(text.replace("category", "categorY", 1))
    (root / "other").mkdir()
    np.save(root / "short.npy", np.ones((7, 4), np.float32))
    np.save(root / "categories.npy", np.ones((13, 8), np.float32))
    return root


def test_the_longest_name_fits_into_every_key_of_mlflow() -> None:
    metric = f"{'x' * (LONGEST_NAME - 3)}@10"
    keys = [tracking.to_key(part, metric, name) for part in ("valid", "test") for name in (None, *BASELINES, CONSTANT)]
    assert max(map(len, [*keys, f"epoch.{keys[0]}", f"search {metric}"])) <= MAX_ENTITY_KEY_LENGTH


# ── the faces ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Case:
    """A spec as plain content, which nobody has checked, and where a face may work.

    `name` is that of its study, and of the folder of its run's checkpoints.
    """

    base: dict[str, Any]
    changes: dict[str, Any]
    home: Path
    folder: Path
    name: str = "s"

    @property
    def spec(self) -> RunSpec:
        return RunSpec.parse(self.base).override(self.changes)

    @property
    def is_spec(self) -> bool:
        """Whether it is one by itself, whatever the data are."""
        try:
            return bool(self.spec)
        except InputError:
            return False

    @property
    def file(self) -> str:
        """The content as a person would have written it."""
        path, content = self.folder / "spec.yaml", copy.deepcopy(self.base)
        for dotted, value in self.changes.items():
            *parents, last = dotted.split(".")
            here = content
            for key in parents:
                here[key] = here = here.get(key) or {}
            here[last] = value
        path.write_text(yaml.safe_dump(content))
        return str(path)

    @property
    def digest(self) -> str:
        """Of the data; something where they can't be opened."""
        try:
            return Dataset.open(self.base["data"]["path"]).digest
        except InputError:
            return "0" * 64

    def recorded(self, status: str) -> str:
        """A run of this spec that an earlier version has recorded."""
        folder = self.home / "jobs" / self.name
        record = tracking.start(self.home, self.spec, SimpleNamespace(digest=self.digest), folder)  # type: ignore[arg-type]
        folder.mkdir(parents=True)
        (folder / checkpoint.FILE).touch()
        record.finish(status, "")
        return record.run_id

    def begun(self) -> study.Study:
        """A study of this spec that an earlier version has begun, with one finished trial."""
        plan = Plan.of(self.spec, StudyOptions.parse({"space": {RATE: None}, "trials": 3}))
        opened = open_study.begin(self.name, plan, self.digest, connect(address(self.home, None)))
        finish_trial(opened)
        return opened


def finish_trial(opened: study.Study) -> None:
    trial = opened.optuna.ask()
    trial.suggest_float(RATE, 1e-4, 1e-2)
    trial.set_user_attr(study.RESULT, {"metrics": {opened.plan.objectives[0]: 0.5}, "epochs": []})
    opened.optuna.tell(trial, 0.5)


Refuse = Callable[[], str]


def shell(*arguments: str) -> Refuse:
    """What the command line says, the last line of which is the refusal."""

    def call() -> str:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(list(arguments))
        last = err.getvalue().strip().splitlines()[-1]
        assert (status, out.getvalue()) == (2, ""), err.getvalue()
        assert last.startswith("error: ")
        return last

    return call


def raised(action: Callable[[], Any]) -> Refuse:
    def call() -> str:
        with pytest.raises(InputError) as error:
            action()
        assert "\n" not in str(error.value)
        return str(error.value)

    return call


def resume(case: Case) -> Refuse:
    run = case.recorded("KILLED")
    return shell("train", "--resume", run)


def go_on(case: Case) -> Refuse:
    """A job that was launched before, and stopped."""
    spec, job = case.spec, jobs.Job(case.home / "jobs" / case.name)
    job.folder.mkdir(parents=True)
    (job.folder / "spec.json").write_text(spec.to_json())
    with job.lock():
        job.write(jobs.Status(job.id, spec.name, "stopped"))
    return shell("jobs", "resume", job.id)


def evaluate(case: Case) -> Refuse:
    run, spec = case.recorded("FINISHED"), case.spec
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "load_model", lambda home, row: (None, spec, None))
        text = shell("evaluate", run, "--split", "test")()
    assert tracking.find(case.home, run).looks == 0
    return lambda: text


def work(case: Case) -> Refuse:
    case.begun()
    return shell("worker", "--study", case.name)


def finish(case: Case) -> Refuse:
    case.begun()
    return shell("finalize", case.name)


class AtOnce:
    """A `Background` without threads."""

    def run(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        done(work())


def lab(case: Case) -> Refuse:
    """The data are chosen, the draft is edited, and what it costs is asked for."""

    def call() -> str:
        try:
            schema = source.summarize(Path(case.base["data"]["path"])).schema
        except InputError as error:
            return str(error)  # the data can't be chosen
        draft = Draft(RunSpec.parse(case.base), schema)
        panel = ArchitecturePanel(draft, draft.set, lambda: pytest.fail("trained"))
        CostEstimate(draft, AtOnce(), estimate)  # type: ignore[arg-type]
        draft.update(case.changes)
        assert panel.train.disabled
        ((path, refused),) = draft.errors.items()
        assert path in (refused.path, "")
        return str(refused)

    return call


FACES: dict[str, Callable[[Case], Refuse]] = {
    "train": lambda case: shell("train", case.file),
    "run": lambda case: raised(lambda: runner.run(case.spec, home=case.home, on_report=silent)),
    "resume": resume,
    "tune": lambda case: shell("tune", case.file, "--search", RATE),
    "tune --detach": lambda case: shell("tune", case.file, "--search", RATE, "--detach"),
    "worker": work,
    "finalize": finish,
    "evaluate": evaluate,
    "describe": lambda case: shell("describe", case.file),
    "jobs": lambda case: raised(lambda: jobs.launch(case.spec, case.home)),
    "jobs resume": go_on,
    "Lab": lab,
}


def written(home: Path) -> dict[str, Any]:
    """The files of a home, and what stands in its record."""
    passing = ("-wal", "-shm", "-journal", ".lock")
    files = {str(p.relative_to(home)) for p in home.rglob("*") if p.is_file() and not p.name.endswith(passing)}
    rows = {}
    if "mlflow.db" in files:
        client, experiment = tracking.client_of(home)
        rows = {r.info.run_id: (r.info.status, r.data.tags) for r in client.search_runs([experiment])}
    return {"files": files, "runs": rows}


def cases() -> list[tuple[str, str]]:
    """Face and row, without what can't be: nobody has recorded or begun what is no spec whatever the data are."""
    pairs = []
    for name, row in ROWS.items():
        without = set() if row.judged else {"evaluate"}
        if not Case(small_spec(Path("x")).to_dict(), row.changes, Path(), Path()).is_spec:
            without |= {"resume", "worker", "finalize", "jobs resume"}
        pairs += [(face, name) for face in FACES if face not in without]
    return pairs


@pytest.mark.parametrize(("face", "name"), cases())
def test_every_face_refuses_it_in_the_same_words_and_writes_nothing(
    face: str, name: str, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, home = ROWS[name], folders / "homes" / face  # one for all rows, since a new record takes a second to make
    home.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folders)
    monkeypatch.setenv("T4R_LAB_HOME", str(home))
    case = Case(small_spec(folders / row.data).to_dict(), row.changes, home, tmp_path, f"s{list(ROWS).index(name)}")
    refuse = FACES[face](case)
    before = written(home)
    text = refuse()
    assert row.words in text
    assert written(home) == before


# ── what only some faces know ───────────────────────────────────────────────────────────────────


def test_a_run_and_a_study_are_refused_other_data_than_theirs(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T4R_LAB_HOME", str(tmp_path / "home"))
    data = tmp_path / "data"
    shutil.copytree(folders / "shop", data)
    for name, words in {
        "resume": "not the data that run small was trained on",
        "evaluate": "not the data that run small was trained on",
        "worker": "not the data of study s",
        "finalize": "not the data of study s",
    }.items():
        home = tmp_path / "home" / name
        home.mkdir(parents=True)
        monkeypatch.setenv("T4R_LAB_HOME", str(home))
        case = Case(small_spec(data).to_dict(), {}, home, tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Case, "digest", "0" * 64)  # of the data that were there then
            assert words in FACES[name](case)()
    home = tmp_path / "home" / "worker"
    monkeypatch.setenv("T4R_LAB_HOME", str(home))
    assert "begun on other data" in shell("tune", case.file, "--search", RATE, "--study", "s", "--trials", "3")()


def test_a_study_may_try_what_is_refused_and_its_trial_says_why(folders: Path, tmp_path: Path) -> None:
    """The starting spec is fine; one point of the grid isn't. It trains nothing, and the others go on."""
    head = {"kind": "regression", "column": "stars", "summary": "last"}
    spec = small_spec(folders / "labels", train__epochs=1, model__heads=[head])
    path = "model.heads.0.summary"
    options = StudyOptions.parse({"space": {path: {"choices": ["last", "mean"]}}, "sampler": "grid"})
    opened = open_study.begin(
        "s", Plan.of(spec, options), Experiment.open(spec).dataset.digest, connect(address(tmp_path, None))
    )
    worker.work(worker.Orders("s", opened.store.url, str(tmp_path), "w", [1]))
    states = {trial.params[path]: (trial.state, trial.reason) for trial in opened.trials()}
    assert states["last"] == ("finished", "")
    with pytest.raises(InputError) as error:
        Experiment.open(spec.override({path: "mean"}))
    assert states["mean"] == ("refused", str(error.value))


def test_a_model_put_together_by_hand_is_refused_the_label_too(folders: Path, tmp_path: Path) -> None:
    """`fit` has no spec of the heads: it asks the tasks."""
    from t4r_lab.training import assembly
    from t4r_lab.training.trainer import fit

    row = ROWS["a label of whole sessions on leave-one-out data"]
    spec, data = small_spec(folders / row.data).override(row.changes), Dataset.open(folders / row.data)
    model = assembly.build(spec, data.schema, data.item_table())
    assert row.words in raised(lambda: list(fit(model, data, small_spec(folders / row.data), tmp_path)))()
    assert list(tmp_path.iterdir()) == []


def test_the_door_needs_no_torch(folders: Path) -> None:
    """The kernel of a notebook passes it at each launch."""
    code = (
        "import sys; from t4r_lab.spec import RunSpec; from t4r_lab.training.experiment import Experiment; "
        "Experiment.open(RunSpec.load(sys.argv[1])); print([m for m in ('torch', 'mlflow') if m in sys.modules])"
    )
    path = folders / "spec.yaml"
    path.write_text(small_spec(folders / "labels", model__heads=[{"kind": "regression", "column": "stars"}]).to_yaml())
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


# ── looks at the test part ──────────────────────────────────────────────────────────────────────


class Killed(BaseException):
    """In place of a kill, which leaves no time for anything."""


def test_a_look_at_the_test_part_is_counted_before_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is killed right after the scores were there has looked."""
    from t4r_lab.training import judgment

    home, data = tmp_path / "home", small_data(tmp_path / "data")
    judged, seen = judgment.judge, []

    def kill(model: Any, sessions: Any, *rest: Any) -> Any:
        result = judged(model, sessions, *rest)
        if sessions is test:
            seen.append(result)
            raise Killed
        return result

    spec = small_spec(data, train__epochs=1)
    done = runner.run(spec, home=home, on_report=silent)
    assert tracking.find(home, done.run_id).looks == 0
    dataset = Dataset.open(data)
    test = dataset.part("test")
    monkeypatch.setattr(judgment, "judge", kill)
    monkeypatch.setattr(Dataset, "open", lambda path: dataset)
    with pytest.raises(Killed):
        runner.run(spec, home=home, test=True, on_report=silent)
    assert tracking.runs(home)[0].looks == 1
    with pytest.raises(Killed):
        evaluation.evaluate_run(done.run_id, "test", home=home, on_report=silent)
    assert tracking.find(home, done.run_id).looks == 1
    plan = Plan.of(spec, StudyOptions.parse({"space": {RATE: None}}))
    opened = open_study.begin("s", plan, dataset.digest, connect(address(home, None)))
    finish_trial(opened)
    with pytest.raises(Killed):
        finalize.finalize("s", 1, home=home, on_report=silent)
    record = tracking.tags(home, opened.attribute(study.RECORD))
    assert record[tracking.LOOKS] == "1"
    assert len(seen) == 3
    monkeypatch.setattr(judgment, "judge", judged)
    final = finalize.finalize("s", 1, home=home, on_report=silent)
    assert final.looks == 2  # both were made
    assert finalize.finalize("s", 1, home=home, on_report=silent).looks == 2  # nothing is trained, nothing looked at
