"""Filters of runs: each term by a hand-worked table of runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from t4r_lab.base.errors import InputError
from t4r_lab.runs.recorded.run_filter import chosen, facts, parse
from t4r_lab.tracking import RunRow

NAN = float("nan")
DAY = datetime(2026, 11, 1).timestamp()
RUNS = [
    RunRow("aaaa1111", "shop gru", "FINISHED", DAY, 30.0, "gru", "clm", "/h/data/shop", "d", {"ndcg@10": 0.1}),
    RunRow("bbbb2222", "shop-xlnet", "KILLED", DAY + 86400, 400.0, "xlnet", "mlm", "/h/data/shop", "d"),
    RunRow("cccc3333", "news", "FINISHED", DAY + 2 * 86400, 4000.0, "lstm", "clm", "/h/data/news:1", "d"),
]
RUNS[0].valid["ndcg@20"], RUNS[2].valid["ndcg@10"], RUNS[2].valid["ndcg@20"] = 0.3, 0.5, NAN
RUNS[0].knobs.update({"train.learning_rate": "0.001", "model.body.dropout": "0.1", "model.inputs.dropout": "0.0"})
RUNS[2].knobs.update({"train.learning_rate": "0.010", "train.optimizer": "AdamW", "model.body.dropout": "0.1"})
RUNS[1].tags.update({"team": "blue", "t4r.host": "secret", "mlflow.note.content": "try again"})


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", "abc"),
        ("SHOP", "ab"),
        ("shop gru", "a"),
        ('"shop gru"', "a"),
        ('name:"shop gru"', "a"),
        ("name:shop", "ab"),
        ("name=shop", ""),
        ("bbbb", "b"),
        ("body:gru,lstm", "ac"),
        ("-body:gru", "bc"),
        ("body!=gru", "bc"),
        ("state:stopped", "b"),
        ("state=finished -news", "a"),
        ("ndcg@10>0.1", "c"),
        ("ndcg@10>=.1", "ac"),
        ("ndcg>0.1", "a"),  # at the largest cutoff, where c has no number
        ("-ndcg@10<0.2", "bc"),
        ("time<5min", "a"),
        ("time>1h", "c"),
        ("time>=400", "bc"),
        ("started>=2026-11-02", "bc"),
        ("started<2026-11-02T00:00", "a"),
        ("learning_rate=1e-2", "c"),
        ("learning_rate:0.01", "c"),
        ("train.learning_rate<0.01", "a"),
        ("optimizer:adam", "c"),
        ("body.dropout=0.1", "ac"),
        ("tag:blue", "b"),
        ("blue", "b"),
        ("secret", ""),
        ("again", "b"),
        ('data:"news:1"', "c"),
        ('"news:1"', "c"),
        ("-", "b"),  # a word like others
    ],
)
def test_a_filter_chooses_these_runs(text: str, ids: str) -> None:
    assert "".join(row.run_id[0] for row in chosen(RUNS, text)) == ids


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bdy:gru", "runs have no 'bdy'; did you mean 'body'"),
        ("dropout>0", "may be model.body.dropout or model.inputs.dropout"),
        ("ndcg>", "has no value"),
        ("ndcg>high", "is not a number"),
        ("ndcg>5min", "is not a number"),
        ("started>soon", "is not a date"),
        ('name:"shop', "has no partner"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_a_remedy(text: str, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        chosen(RUNS, text)
    assert words in str(refusal.value)


def test_a_metric_with_a_colon_in_its_name_is_compared() -> None:
    (term,) = parse("shop.metrics:near@10>0.5", ["name", "shop.metrics:near@10"])
    assert (term.name, term.compare, term.values) == ("shop.metrics:near@10", ">", ("0.5",))


def test_archived_runs_are_left_out_unless_they_are_asked_for() -> None:
    hidden = replace(RUNS[0], tags={"t4r.archived": "true"})
    rows = [hidden, *RUNS[1:]]
    assert [
        [row.run_id[0] for row in chosen(rows, text)] for text in ("", "shop", "archived:yes", "archived:yes,no")
    ] == [
        ["b", "c"],
        ["b"],
        ["a"],
        ["a", "b", "c"],
    ]


def test_nothing_of_the_lab_itself_is_a_fact() -> None:
    assert facts(RUNS[1])["tag"] == "team: blue"
