"""Analysis, reuse and search of recorded runs, beside what can be computed by hand from their records."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from t4r_lab import tracking
from t4r_lab.base.errors import InputError
from t4r_lab.base.reports import silent
from t4r_lab.cli import program as main
from t4r_lab.runs import run
from t4r_lab.runs.analyze import analyze, bootstrap, won_and_lost
from t4r_lab.runs.promote import promote, spec_to_repeat
from t4r_lab.runs.recommend import Item, Recommender
from t4r_lab.tracking.pages import Server, page
from tests.support.small import small_data, small_spec


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A home with two runs on the same data."""
    root = tmp_path_factory.mktemp("world")
    data = small_data(root / "shop")
    ids = [
        run.run(small_spec(data, name=name, train__epochs=n), home=root / "home", on_report=silent).run_id
        for name, n in (("long", 3), ("short", 1))
    ]
    return root / "home", ids[0], ids[1]


def ranks(home: Path, run_id: str, name: str) -> pl.DataFrame:
    return pl.read_parquet(tracking.artifacts(home, run_id) / "ranks" / "valid" / f"{name}.parquet")


def test_intervals_are_those_of_a_mean_and_no_narrower_for_long_sessions() -> None:
    rng = np.random.default_rng(1)
    rank = rng.integers(1, 30, 4000).astype(float)
    low, high = bootstrap(np.arange(4000), rank, ["mrr@20", "recall@10"])["recall@10"]
    hit = rank <= 10
    half = 1.96 * hit.std() / 4000**0.5
    assert (low, high) == pytest.approx((hit.mean() - half, hit.mean() + half), abs=0.1 * half)
    same = np.repeat(rank[:200], 20)  # twenty alike of each session tell no more than one
    wide = bootstrap(np.repeat(np.arange(200), 20), same, ["recall@10"])["recall@10"]
    assert wide[1] - wide[0] == pytest.approx(2 * 1.96 * (rank[:200] <= 10).std() / 200**0.5, rel=0.1)


def test_an_analysis_has_intervals_curves_and_the_metric_asked_for(world: tuple[Path, str, str]) -> None:
    home, long, short = world
    analysis = analyze([long, short], home=home)
    assert (analysis.metric, analysis.labels) == ("ndcg@5", ["long", "short"])
    for label, metrics in analysis.comparison.metrics.items():
        for name, (low, high) in analysis.intervals[label].items():
            assert low <= metrics[name] <= high
    assert [epoch for epoch, _ in analysis.curves["long"]["ndcg@5"]] == [1, 2, 3]
    assert analysis.curves["short"]["train/loss"][0][1] > 0
    assert list(analysis.comparison.specs) == ["train.epochs"]
    other = analyze([long, short], "mrr@5", home=home)
    assert {d.metric for d in other.comparison.differences} == {"mrr@5"}
    for unknown in ("mr@5", "mrr@0"):
        with pytest.raises(InputError, match="did you mean 'mrr@5'"):
            analyze([long, short], unknown, home=home)


def test_a_metric_at_another_cutoff_is_computed_from_the_recorded_ranks(world: tuple[Path, str, str]) -> None:
    home, long, short = world
    found = analyze([long, short], "mrr@7", home=home)
    names = {"long": (long, "model"), "short": (short, "model")}
    names |= {name: (long, name) for name in ("popularity", "successors")}
    assert set(found.comparison.metrics) == set(names)
    for label, (run_id, name) in names.items():
        rank = ranks(home, run_id, name)["rank"].to_numpy()
        assert found.comparison.metrics[label]["mrr@7"] == pytest.approx(np.where(rank <= 7, 1 / rank, 0).mean())
        low, high = found.intervals[label]["mrr@7"]
        assert low <= found.comparison.metrics[label]["mrr@7"] <= high
    pairs = [{d.better, d.other} for d in found.comparison.differences]
    best = max(("popularity", "successors"), key=lambda name: found.comparison.metrics[name]["mrr@7"])
    assert pairs == [{"long", "short"}, {"long", best}, {"short", best}]


def test_sessions_won_and_lost_are_the_largest_differences(world: tuple[Path, str, str]) -> None:
    home, long, _ = world
    extremes = won_and_lost(long, "popularity", 5, home=home)
    gain = 1 / ranks(home, long, "model")["rank"] - 1 / ranks(home, long, "popularity")["rank"]
    of = lambda cases: [1 / c.rank - 1 / c.other for c in cases]  # noqa: E731
    np.testing.assert_allclose(of(extremes.won), np.sort(gain.to_numpy())[::-1][:5])
    np.testing.assert_allclose(of(extremes.lost), np.sort(gain.to_numpy())[:5])
    assert won_and_lost(long, home=home).other == "successors"  # the better baseline
    assert won_and_lost(long, "short", 5, home=home).won


def test_a_recorded_session_is_answered_as_it_was_judged(world: tuple[Path, str, str]) -> None:
    home, long, _ = world
    recommender = Recommender.open(long, home=home)
    for case in (cases := won_and_lost(recommender, n=5)).won + cases.lost:
        top = recommender.top(recommender.beginning(case.row, case.position), 40)
        rank = top.loc[top["item"].astype(str) == case.target.id, "rank"].item()
        assert rank == pytest.approx(case.rank, abs=0.5)
        assert len(case.items) == case.position


def test_items_are_found_by_title_and_id(world: tuple[Path, str, str]) -> None:
    recommender = Recommender.open(world[1], home=world[0])
    table = recommender.vocabulary.items
    recommender.vocabulary.items = table.with_columns(
        title=pl.Series(["Red shoe", "a red hat", "(.*)", *[None] * (len(table) - 3)], dtype=pl.String),
        count=pl.Series([1, 9, 1, *[0] * (len(table) - 3)]),
    )
    ids = [str(i) for i in table["item"]]
    assert recommender.search("RED") == [Item(ids[0], "Red shoe"), Item(ids[1], "a red hat")]  # a beginning comes first
    assert recommender.search("(.*") == [Item(ids[2], "(.*)")]  # text, not a pattern
    assert recommender.search(ids[7])[0] == Item(ids[7], ids[7])
    assert [i.title for i in recommender.search("", 2)] == ["a red hat", "Red shoe"]
    assert recommender.search("nothing like it") == []


def test_promotion_looks_at_the_test_part_once_and_moves_the_alias(world: tuple[Path, str, str]) -> None:
    home, long, short = world
    assert tracking.promoted(home) == {}
    first = promote(short, home=home, on_report=silent)
    assert (first.model, first.version, first.looks) == ("t4r-lab-shop", "1", 1)
    assert {"ndcg@5"} <= first.baselines["popularity"].keys() <= first.test.keys()
    assert promote(short, "second", home=home, on_report=silent).looks == 1
    assert sorted(tracking.promoted(home)[short]) == ["t4r-lab-shop@champion", "t4r-lab-shop@second"]
    assert promote(long, home=home, on_report=silent).version == "2"
    assert tracking.promoted(home) == {short: ["t4r-lab-shop@second"], long: ["t4r-lab-shop@champion"]}
    for alias in ("latest", "v2", "a b", ""):
        with pytest.raises(InputError, match="alias:"):
            promote(long, alias, home=home, on_report=silent)


def test_a_spec_from_the_record_gives_the_same_metrics(world: tuple[Path, str, str]) -> None:
    home, _, short = world
    again = run.run(spec_to_repeat(short, home=home), home=home, on_report=silent)
    assert again.valid == tracking.find(home, short).valid
    data = Path(again.home.parent / "shop")
    (moved := data.with_name("moved")).exists() or data.rename(moved)
    try:
        with pytest.raises(InputError, match="shop"):
            spec_to_repeat(short, home=home)
    finally:
        moved.rename(data)


def test_the_command_line_has_it_too(
    world: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, long, short = world
    monkeypatch.setenv("T4R_LAB_HOME", str(home))

    def ask(*words: str) -> dict:
        assert main.main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    comparison = ask("compare", long, short, "--cases", "2", "--metric", "recall@5")
    assert comparison["intervals"]["long"]["recall@5"][0] < comparison["valid"]["long"]["recall@5"]
    assert comparison["cases"]["other"] == short
    assert ask("promote", short, "--alias", "third")["alias"] == "third"
    top = ask("recommend", short, "--items", "3", "5", "-k", "4")["recommendations"]
    assert [row["rank"] for row in top] == [1, 2, 3, 4]
    assert main.main(["recommend", short]) == 2
    assert main.main(["compare", long, short, "--cases", "2"]) == 0
    assert "long beats" in capsys.readouterr().out


@pytest.mark.slow
def test_mlflows_pages_answer_on_the_record_and_end_with_us(world: tuple[Path, str, str]) -> None:
    home, long, _ = world
    server = Server(home)
    try:
        address = server.address()
        assert server.address() == address  # the same one, not a second
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert answer.status == 200
        assert page(home, address, long).endswith(f"/runs/{long}?workflowType=machine_learning")
    finally:
        server.close()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=10)
