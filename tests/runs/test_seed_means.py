"""Means over seeds beside SciPy's, which runs they are taken of, and the jobs that train further seeds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from t4r_lab import jobs, tracking
from t4r_lab.base import system
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import silent
from t4r_lab.cli.program import main
from t4r_lab.lab.panels.runs.run_page import seed_means
from t4r_lab.runs import run as runner
from t4r_lab.runs.compared.seed_means import MOST, STUDENT, SeedMean
from t4r_lab.runs.recorded.run_details import over_seeds, run_details
from tests.support.small import small_data, small_spec


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one spec trained with the seeds 0, 2 and twice with 3, and another spec."""
    root = tmp_path_factory.mktemp("seeds")
    spec = small_spec(small_data(root / "data", 200), name="gru seed 0", train__epochs=1)
    for seed in (0, 2, 3, 3):
        changed = spec.override({"train.seed": seed, "name": f"gru seed {seed}"})
        runner.run(changed, home=root / "home", on_report=silent)
    runner.run(spec.override({"name": "wide", "model.body.d_model": 16}), home=root / "home", on_report=silent)
    return root / "home"


def test_mean_and_interval_are_those_of_scipy() -> None:
    for values in ([0.40, 0.43, 0.41, 0.47], [1.0, 2.0], list(np.linspace(0, 1, MOST))):
        of = SeedMean.of(values)
        low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
        assert of.half == pytest.approx((high - low) / 2, rel=1e-3)
        assert of.mean == pytest.approx(np.mean(values)) and (of.lowest, of.highest) == (min(values), max(values))
    assert pytest.approx([stats.t.ppf(0.975, n) for n in range(1, MOST)], abs=1e-3) == STUDENT
    assert SeedMean.of([0.5]) == SeedMean(0.5, None, 0.5, 0.5, 1)


def test_a_mean_is_taken_over_the_newest_run_of_each_seed(home: Path) -> None:
    rows = tracking.runs(home)  # newest first
    newest, older, two, zero = [row for row in rows if row.body == "gru" and row.name != "wide"]
    details = run_details(zero.run_id, home=home)
    assert {seed: row.run_id for seed, row in details.repeats.items()} == {"2": two.run_id, "3": newest.run_id}
    assert details.seed == "0" and older.name == newest.name
    means = over_seeds(details)
    for name, of in means.items():
        assert of.mean == pytest.approx(np.mean([row.valid[name] for row in (zero, two, newest)]))
        assert of.count == 3
    assert "ndcg@5" in means and "Mean over 3 seeds" in seed_means(details)
    failed = replace(details, repeats={"2": replace(two, status="FAILED")})
    assert over_seeds(failed) == {} and seed_means(failed) == ""


def test_further_seeds_are_those_that_no_run_or_job_has(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "start_detached", lambda *arguments: None)
    monkeypatch.setattr(jobs.Job, "_worker_runs", lambda job: True)
    first = jobs.repeat("gru seed 0", 2, home)
    assert [job.spec().train.seed for job in first] == [1, 4]
    assert [job.spec().name for job in first] == ["gru seed 1", "gru seed 4"]
    assert jobs.limit(home) == 1 and [job.status().state for job in first] == ["starting", "queued"]
    assert [job.spec().train.seed for job in jobs.repeat("gru seed 0", 1, home)] == [5]  # those wait, and are counted
    assert [job.spec().train.seed for job in jobs.repeat("wide", 1, home)] == [1]
    for count in (0, 21):
        with pytest.raises(InputError, match="choose 1 to 20"):
            jobs.repeat("wide", count, home)


def test_the_command_line_trains_further_seeds(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system, "start_detached", lambda *arguments: None)
    monkeypatch.setenv("T4R_LAB_HOME", str(home))
    assert main(["jobs", "repeat", "wide", "--seeds", "3", "--json"]) == 0
    ids = json.loads(capsys.readouterr().out)["job_ids"]
    assert len({jobs.find(home, id).spec().train.seed for id in ids}) == 3
    assert main(["jobs", "repeat", "wide", "--seeds", "0"]) == 2
    assert "0 is not possible; choose 1 to 20" in capsys.readouterr().err
