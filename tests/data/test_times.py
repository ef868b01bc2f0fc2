"""How a column of times is read: by all its values, or refused with a reading that would make sense."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t4r_lab.base.errors import InputError
from t4r_lab.data.pipeline.prepare_events import PrepareOptions, prepare
from t4r_lab.data.pipeline.split_checks import findings
from t4r_lab.data.read.raw_table import RawTable
from t4r_lab.data.read.time_forms import time_form
from t4r_lab.data.read.times import seconds

NOON = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)


def read(values: list[Any], option: str | None = None) -> tuple[str, list[datetime]]:
    """The form of a column, and its times."""
    table = RawTable(pl.DataFrame({"at": pl.Series(values, strict=False)}))
    form = time_form([table], "at", option)
    column = seconds(table, "at", form, "option" if option else "inferred")
    return form, [datetime.fromtimestamp(second, UTC) for second in column]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "form", "first"),
    [
        ([20260131, 20260201], "%Y%m%d", "2026-01-31"),
        (["20260131", "20260201"], "%Y%m%d", "2026-01-31"),
        ([20260131.0, 20260201.0], "%Y%m%d", "2026-01-31"),
        ([202601310915, 202601310916], "%Y%m%d%H%M", "2026-01-31T09:15"),
        ([20260131091500, 20260131091501], "%Y%m%d%H%M%S", "2026-01-31T09:15:00"),
        ([46053.385, 46054.0], "spreadsheet", "2026-01-31T09:14:24"),
        (["31/01/2026", "1/2/2026 15:00"], "day-first", "2026-01-31"),
        (["31.01.2026 09:15:07", "2026-02-01"], "day-first", "2026-01-31T09:15:07"),
        (["1/31/2026, 9:15:07 PM", "2/1/2026, 9:15:07 AM"], "month-first", "2026-01-31T21:15:07"),
        (["01-31-2026 09:15", "01-02-2026 09:15"], "month-first", "2026-01-31T09:15"),
        (["2026-01-31 12:00:00 +0200", "20260131T100000Z"], "dates", "2026-01-31T10:00"),
        ([datetime(2026, 1, 31, 9, 15)], "dates", "2026-01-31T09:15"),
        ([1769850900, 1769850901], "seconds", "2026-01-31T09:15"),
        ([1769850900000], "milliseconds", "2026-01-31T09:15"),
        ([3, 1, 2], "order", "1970-01-01T00:00:03"),
    ],
)
def test_what_the_whole_column_settles_is_read(values: list[Any], form: str, first: str) -> None:
    inferred, times = read(values)
    assert (inferred, times[0]) == (form, at(first))


@pytest.mark.parametrize(
    ("values", "message", "reading"),
    [
        (["01/02/2026", "03/04/2026"], "which number of '01/02/2026' is the month", "2026-02-01"),
        ([2026013109, 2026013110], "the year 2034 as seconds since 1970, and in 2026 as %Y%m%d%H", "2026-01-31T09:00"),
        ([202601, 202602], "would be a day in 1970 .* in 2026 as %Y%m;", "2026-01-01"),
        ([2025, 2026], "would be a day in 1970 .* in 2026 as %Y;", "2025-01-01"),
        ([46053, 46054], "would be a day in 1970 .* in 2026 as spreadsheet;", "2026-01-31"),
        ([260131, 260201], "would be a day in 1970 .* in 2026 as %y%m%d;", "2026-01-31"),
        ([260131091500, 260131091501], "the year 10213 .* as %y%m%d%H%M%S;", "2026-01-31T09:15"),
        ([31012026, 1022026, 31032026], "would be a day in 1970 .* as %d%m%Y;", "2026-01-31"),
        ([29_497_700, 29_497_701], "would be a day in 1970 .* in 2026 as minutes;", "2026-01-31T12:20"),
        ([500_000_000, 500_000_001], "would be in the year 1985 as seconds", "1985-11-05T00:53:20"),
        ([0, 1769850900, 1769850900], "row 0: at 0 would be in the year 1970", "1970-01-01"),
        (["1970-01-01", "2026-01-31"], "row 0: at '1970-01-01' would be in the year 1970", "1970-01-01"),
        ([datetime(9999, 12, 31), datetime(2026, 1, 31)], "would be in the year 9999", "9999-12-31"),
    ],
)
def test_what_it_does_not_settle_is_refused_and_the_advice_works(values: list[Any], message: str, reading: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        read(values)
    advised = re.search(r"--time-format ([\w%-]+)", str(refusal.value))
    assert advised is not None
    assert read(values, advised[1])[1][0] == at(reading)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([20260131, 20260132, 20260131], "row 1: at 20260132 is not a time as the others are"),
        (["31/01/2026", "01/31/2026"], "day first in '31/01/2026' and the month first in '01/31/2026'"),
        (
            ["2026-01-31", "2026-02-01", "1769850900"],
            "row 2: at '1769850900' is a number, while others in the column are",
        ),
        (["01/31/26", "02/01/26"], "row 0: at '01/31/26' is not a time.* --time-format"),
        ([timedelta(hours=1)], "at is not a time: it holds durations"),
        ([time(9, 15)], "at is not a time: it holds times of day"),
        ([True], "at is not a time: it holds Boolean"),
        ([-5, 3], "at -5 is before 1970"),
    ],
)
def test_what_is_no_time_is_refused(values: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(values)


MOMENTS = st.lists(
    st.datetimes(datetime(1990, 1, 1), datetime(2100, 12, 31)).map(lambda t: t.replace(microsecond=0)), min_size=1
)
WRITTEN: dict[str, Any] = {
    "seconds": lambda t: int(t.replace(tzinfo=UTC).timestamp()),
    "milliseconds": lambda t: int(t.replace(tzinfo=UTC).timestamp()) * 1000,
    "microseconds": lambda t: int(t.replace(tzinfo=UTC).timestamp()) * 10**6,
    "%Y%m%d%H%M%S": lambda t: int(f"{t:%Y%m%d%H%M%S}"),
    "spreadsheet": lambda t: (t - datetime(1899, 12, 30)).total_seconds() / 86400,
    "dates": lambda t: t.isoformat(),
    "day-first": lambda t: f"{t:%d/%m/%Y %H:%M:%S}",
    "month-first": lambda t: f"{t:%m/%d/%Y %I:%M:%S %p}",
}


@settings(max_examples=40, deadline=None)
@given(MOMENTS, st.sampled_from(sorted(WRITTEN)))
def test_times_read_back_as_they_were_or_are_refused(moments: list[datetime], form: str) -> None:
    values, expected = [WRITTEN[form](t) for t in moments], [t.replace(tzinfo=UTC) for t in moments]
    assert read(values, form)[1] == expected
    try:
        times = read(values)[1]
    except InputError as error:
        times, refusal = expected, str(error)
    else:
        refusal = form
    assert times == expected
    assert form in refusal


# ── prepared ────────────────────────────────────────────────────────────────────────────────────


def visits(form: Any) -> pl.DataFrame:
    """Ten users with three visits of two events, five minutes apart, three hours between visits."""
    start = datetime(2026, 1, 15, 9)
    rows = [
        (u, (u + 3 * j + v) % 7, form(start + timedelta(days=u, hours=3 * v, minutes=5 * j)))
        for u in range(10)
        for v in range(3)
        for j in range(2)
    ]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "event_time"], orient="row")


@pytest.mark.parametrize("form", ["%Y%m%d%H%M%S", "spreadsheet", "day-first", "month-first", "dates"])
def test_sessions_are_cut_alike_in_every_form(tmp_path: Path, form: str) -> None:
    visits(WRITTEN[form]).write_csv(tmp_path / "e.csv")
    options = PrepareOptions(gap_minutes=30, test_from="2026-01-23", valid_from="2026-01-22", unseen_items="keep")
    data = prepare(tmp_path / "e.csv", tmp_path / "out", options)
    assert [len(data.part(p)) for p in ("train", "valid", "test")] == [21, 3, 6]
    assert datetime.fromtimestamp(data.part("train").values["timestamp"].min(), UTC) == at("2026-01-15T09:00")
    assert data.profile["time_form"] == form


def test_files_of_one_call_are_read_alike(tmp_path: Path) -> None:
    """What one file alone leaves open, the other settles."""
    early, late = "session_id,item_id,at\n", "session_id,item_id,at\n"
    early += "".join(f"{s},{i},{s % 9 + 1:02}/02/2026 09:0{i}\n" for s in range(20) for i in range(3))
    late += "".join(f"{s},{i},{s - 100 + 13}/03/2026 09:0{i}\n" for s in range(100, 110) for i in range(3))
    for name, text in (("early", early), ("late", late)):
        (tmp_path / f"{name}.csv").write_text(text)
    options = PrepareOptions(time="at")
    with pytest.raises(InputError, match="it is ambiguous which number"):
        prepare(tmp_path / "early.csv", tmp_path / "out", options)
    data = prepare(tmp_path / "early.csv", tmp_path / "out", options, test=tmp_path / "late.csv")
    assert datetime.fromtimestamp(data.part("train").values["timestamp"].max(), UTC).month == 2
    new = data.encode(pl.DataFrame({"session_id": ["n", "n"], "item_id": [2, 1], "at": ["02/03/2026", "01/04/2026"]}))
    assert data.own_ids(new.values["item_id"]) == [2, 1]  # the second of March comes before the first of April


def test_only_names_of_utc_are_read_as_a_zone() -> None:
    form = "%Y-%m-%d %H:%M %Z"
    assert read(["2026-01-31 09:15 UTC", "2026-01-31 09:16 GMT"], form)[1] == [
        at("2026-01-31T09:15"),
        at("2026-01-31T09:16"),
    ]
    with pytest.raises(InputError, match="row 1: at '2026-01-31 09:15 EST' is not a time as --time-format"):
        read(["2026-01-31 09:15 UTC", "2026-01-31 09:15 EST"], form)


def test_numbers_without_a_unit_only_order(tmp_path: Path) -> None:
    frame = visits(WRITTEN["dates"]).with_columns(event_time=pl.int_range(60))
    with pytest.raises(InputError, match="unit isn't known, but --gap-minutes measures time; say --time-format"):
        prepare(frame, tmp_path / "out", PrepareOptions(gap_minutes=30))
    data = prepare(frame, tmp_path / "out")
    assert "only their order counts" in " ".join(f.words for f in findings(data.profile))
    timed = prepare(frame, tmp_path / "out", PrepareOptions(gap_minutes=30, time_format="minutes", unseen_items="keep"))
    assert sum(len(timed.part(p)) for p in ("train", "valid", "test")) == 10


def test_a_form_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match=r"'dayfirst' is neither a format .* did you mean 'day-first'"):
        PrepareOptions.parse({"time_format": "dayfirst"})
    with pytest.raises(InputError, match="row 0: at 'x' is not a time as --time-format %Q has it"):
        read(["x"], "%Q")


def test_durations_and_times_of_day_are_numbers_beside_the_events(tmp_path: Path) -> None:
    frame = visits(WRITTEN["seconds"]).with_columns(
        stay=pl.Series([timedelta(seconds=n) for n in range(60)]),
        hour=pl.Series([time(n % 24) for n in range(60)]),
        born=pl.Series([datetime(1955, 1, 1 + n % 20) for n in range(60)]),
    )
    data = prepare(frame, tmp_path / "out", PrepareOptions(scopes={"stay": "event", "hour": "event", "born": "event"}))
    kinds = {name: data.schema[name].kind for name in ("stay", "hour", "born")}
    assert kinds == {"stay": "continuous", "hour": "continuous", "born": "timestamp"}
    assert data.profile["features"]["hour"]["quantiles"]["1.0"] <= 23 * 3600
    new = data.encode(frame.filter(pl.col("user_id") == 0))
    for name in ("stay", "hour"):
        assert new.values[name].tolist() == data.part("train").values[name][: len(new.values[name])].tolist() != [0] * 6


# ── found by trying: silent readings, and advice that led into a crash ──────────────────────────

TICKS = [638400096000000000, 638400096600000000]
"""2024-01-05T00:00:00 and a minute later as .NET counts: (738 889 days) · 86 400 s · 10⁷, counted from year 1."""


def test_ticks_are_told_from_nanoseconds_by_the_user_alone() -> None:
    assert TICKS[0] == (datetime(2024, 1, 5) - datetime(1, 1, 1)).days * 86_400 * 10**7
    with pytest.raises(InputError, match=r"year 1990 as nanoseconds .* 2024 as ticks; .*--time-format ticks or nanos"):
        read(TICKS)
    assert read(TICKS, "ticks") == ("ticks", [at("2024-01-05"), at("2024-01-05T00:01")])
    assert read([1704412800 * 10**9]) == ("nanoseconds", [at("2024-01-05")])


@pytest.mark.parametrize("values", [[1_700_000_000, 1_700_000_060_000], [1.7e15]])
def test_no_option_reads_times_behind_all_calendars(values: list[float]) -> None:
    """Such as milliseconds among seconds: advice that would store them led to data that nothing could show."""
    with pytest.raises(InputError, match=r"would be in the year 5.*, read as seconds; .*the right unit") as error:
        read(values, "seconds")
    assert "row" in error.value.path


@pytest.mark.parametrize("zone", ["+02:00", " -0500", "+02"])
def test_times_with_and_without_a_zone_are_not_mixed(zone: str) -> None:
    texts = [f"2024-01-10 00:00:00{zone}", "2024-01-10 00:01:00"]
    for values in (texts, texts[::-1]):
        with pytest.raises(InputError, match=r"'2024-01-10 00:01:00' names no zone, but '2024-01-10 00:00:00.*' does"):
            read(values)
    assert read([texts[0], f"2024-01-10 00:02:00{zone}", "2024-01-11"])[0] == "dates"  # a day has no zone
    assert read([texts[1], "2024-01-10T00:00", "2024-01-31"])[0] == "dates"
    for utc in ("Z", " UTC", "+00:00"):  # as those without a zone are read
        assert read([f"2024-01-10 00:00:00{utc}", texts[1]])[0] == "dates"
    frame = pl.DataFrame({"session": [1, 1, 2, 2] * 9, "item": [1, 2, 3, 4] * 9, "bought": (texts * 18)})
    with pytest.raises(InputError, match="names no zone"):  # a feature as well as the events' time
        prepare(frame, "nowhere", PrepareOptions(split="leave_one_out", kinds={"bought": "timestamp"}))


def test_a_format_has_a_year() -> None:
    with pytest.raises(InputError, match="'%H:%M' has no year; add one, as in %Y-%m-%d"):
        PrepareOptions.parse({"time_format": "%H:%M"})
    for form in ("%y%m%d", "%F %T", "%s", "%d/%b/%Y:%H:%M:%S %z", "%D", "%c"):
        assert PrepareOptions.parse({"time_format": form}).time_format == form


def test_times_without_a_unit_are_not_shown_as_dates(tmp_path: Path) -> None:
    from t4r_lab.data.pipeline.describe import describe
    from t4r_lab.lab.parts.plots import over_time

    for start, last in ((0, "119"), (10**15, "1e+15")):
        rows = [{"session": s, "item": s % 5 + t, "time": start + s * 4 + t} for s in range(30) for t in range(4)]
        data = prepare(pl.DataFrame(rows), tmp_path / last, PrepareOptions(time_format="order"))
        assert f" to {last}" in " ".join(describe(data).split()) and "1970" not in describe(data)
        svg = over_time(data.profile["time"], data.profile.get("cuts", {}), dated=False)
        assert "1970" not in svg and f">{last}<" in svg


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("25/01/24 00:00", "'%d/%m/%y %H:%M' or '%y/%m/%d %H:%M'"),
        ("10 January 2024", "'%d %B %Y'"),
        ("10 Jan 2024", "'%d %B %Y'"),
        ("10/Jan/2024:12:00:01 +0100", "'%d/%b/%Y:%H:%M:%S %z'"),
        ("Wed Jan 10 12:00:00 +0000 2024", "'%a %b %d %H:%M:%S %z %Y'"),
    ],
)
def test_a_usual_format_is_suggested_and_reads(text: str, formats: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"or say --time-format {formats}")):
        read([text, text])
    expected = datetime.strptime(text, formats.split("'")[1].replace("%B", "%b" if "Jan " in text else "%B"))
    assert read([text], formats.split("'")[1])[1] == [expected.replace(tzinfo=expected.tzinfo or UTC)]


def test_no_format_is_suggested_that_only_some_times_have() -> None:
    with pytest.raises(InputError, match="or say how to read it with --time-format"):
        read(["10 Jan 2024", "soon"])
