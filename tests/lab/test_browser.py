"""The front end as a person uses it: real JupyterLab in real Chromium."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import TimeoutError

from tests.support.browser import (
    CONNECTED,
    NASTY,
    RESTART,
    choose,
    expect,
    new_page,
    open_lab,
    printed_on_failure,
    run_first_cell,
    shoot,
    tab,
    theme,
)

pytestmark = pytest.mark.browser

PAST_EPOCH = """(epoch) => Number(document.querySelector(".t4r-card svg[aria-label*='at epoch']")
  ?.ariaLabel.match(/at epoch (\\d+)/)[1]) > epoch"""
"""Not "at epoch 3": a browser with much to do is shown one state in several, and a fast run is past any of them."""


CONTROLS = {"button", "checkbox", "slider", "textbox", "combobox", "radio", "img", "link", "spinbutton", "listbox"}
"""Roles of the accessibility tree whose elements need a name."""


def unnamed(page: Any) -> list[str]:
    """The controls of the Lab without a name in the accessibility tree, as HTML."""
    session = page.context.new_cdp_session(page)
    root = session.send("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
    lab = session.send("DOM.querySelector", {"nodeId": root, "selector": ".t4r-lab"})["nodeId"]
    nodes = session.send("Accessibility.queryAXTree", {"nodeId": lab})["nodes"]
    shown = [n for n in nodes if not n["ignored"] and n.get("role", {}).get("value") in CONTROLS]
    bare = [n for n in shown if not n.get("name", {}).get("value")]
    return [session.send("DOM.getOuterHTML", {"backendNodeId": n["backendDOMNodeId"]})["outerHTML"][:200] for n in bare]


def tab_to(page: Any, reached: str) -> None:
    """Press Tab until the condition holds."""
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate(reached):
            return
    raise AssertionError(f"never: {reached}")


def choose_by_arrows(page: Any, label: str) -> None:
    """The choice that has the focus, by the arrow keys. Typing its letters depends on how fast they follow each other."""
    options = page.evaluate("[...document.activeElement.options].map((o) => o.label)")
    away = options.index(label) - page.evaluate("document.activeElement.selectedIndex")
    for _ in range(abs(away)):
        page.keyboard.press("ArrowDown" if away > 0 else "ArrowUp")
    assert page.evaluate("document.activeElement.selectedOptions[0].label") == label


def test_choose_train_watch_and_find_the_run(page: Any, server: tuple[str, Path]) -> None:
    lab = open_lab(page, server[0])
    page.locator(".t4r-estimate", has_text="per epoch").wait_for()
    shoot(page, "lab-architecture-light")
    # a body that is only for mlm changes the masking and says so; what is not offered is explained
    body = page.get_by_label("body", exact=True)
    body.select_option(label="ModernBERT")
    page.locator(".t4r-note", has_text="masking changed from clm to mlm").wait_for()
    choose(page, "model.masking", "mlm")
    masking = page.get_by_label("masking", exact=True)
    expect(masking.locator("option")).to_have_text(["MLM", "RTD"])
    expect(page.locator(".t4r-help", has_text="Not offered with modernbert: clm (it attends both ways)")).to_have_count(
        1
    )
    choose(page, "model.body", "ModernBERT")
    body.select_option(label="GPT2")
    page.locator(".t4r-block-title", has_text="GPT2").wait_for()
    # a value that doesn't fit is refused beside its field, and Train waits
    heads = page.get_by_label("n_head", exact=True)
    heads.fill("5")
    heads.press("Tab")
    page.locator(".t4r-help.t4r-error", has_text="does not divide").wait_for()
    train = lab.get_by_role("button", name="Train", exact=True)
    expect(train).to_be_disabled()
    heads.fill("4")
    heads.press("Tab")
    page.locator(".t4r-message", has_text="Ready to train").wait_for()
    train.click()
    page.wait_for_function("document.activeElement.classList.contains('t4r-card')")  # the new job's, in view
    inside = page.evaluate(
        "(([t, b]) => t >= 0 && t < innerHeight)([document.activeElement.getBoundingClientRect().top, 0])"
    )
    assert inside
    # the curve grows while the kernel stays free, and ends
    card = page.locator(".t4r-card").first
    path = card.locator("svg[aria-label*='training loss'] path.t4r-curve")
    path.wait_for(state="attached", timeout=90_000)
    page.evaluate("path => { path.dataset.first = 'yes'; }", path.element_handle())
    page.wait_for_function(PAST_EPOCH, arg=2, timeout=90_000)
    shoot(page, "lab-train-running-light")
    # its log, which grows while it is open; and smoothing by keyboard, drawn as it is said
    card.get_by_role("button", name="Log").press("Enter")
    card.locator(".t4r-log", has_text="epoch 3/12").wait_for(timeout=90_000)
    page.locator(".t4r-lab .t4r-actions-bar .noUi-handle").first.focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    smooth = card.locator("svg[aria-label*='training loss'][aria-label*='smoothed']")
    smooth.wait_for()
    card.locator(".t4r-state", has_text="finished").wait_for(timeout=180_000)
    card.locator("svg[aria-label*='at epoch 12']").first.wait_for()
    expect(path).to_have_attribute("data-first", "yes")  # extended, not drawn anew
    expect(card.locator("svg path.t4r-curve")).to_have_count(2)
    assert len(card.locator("svg path.t4r-raw").first.get_attribute("d")) > 100  # the values stay, behind
    reading = re.search(r"smoothed [\d.]+", smooth.get_attribute("aria-label"))
    assert reading is not None
    assert smooth.locator(".t4r-now").text_content().endswith(reading[0])
    expect(card.locator("svg line.t4r-line")).to_have_count(2)  # both baselines
    shoot(page, "lab-train-light")
    # it is told above the tabs, and leads to its card
    told = page.locator(".t4r-notices .widget-hbox", has_text="gpt2-clm has finished")
    told.get_by_role("button", name="Show").click()
    told.wait_for(state="detached")
    page.wait_for_function("document.activeElement.classList.contains('t4r-card')")
    tab(page, "Runs")
    row = page.locator(".t4r-table tbody tr", has_text="gpt2-clm").first
    row.wait_for()
    page.locator(".t4r-table tbody tr", has_text="finished").first.wait_for()
    page.locator(".t4r-table th button", has_text="body").click()
    page.locator(".t4r-table th[aria-sort=ascending]", has_text="body").wait_for()
    shoot(page, "lab-runs-light")
    tab(page, "Data")
    page.locator(".t4r-profile").wait_for()
    shoot(page, "lab-data-light")
    if os.environ.get("T4R_LAB_SCREENSHOTS"):
        theme(page, "JupyterLab Dark")
        for name in ("Data", "Architecture", "Train", "Runs"):
            tab(page, name)
            shoot(page, f"lab-{name.lower()}-dark")


@pytest.fixture(scope="module")
def two_runs(server: tuple[str, Path]) -> tuple[str, str]:
    """Two quick runs in the server's home; their names."""
    from t4r_lab.base.reports import silent
    from t4r_lab.runs.run import run
    from t4r_lab.spec import RunSpec

    data = str(server[1] / "data" / "demo")
    names, both = (f"a {NASTY}", "gru-clm"), (3, 1)
    if os.environ.get("T4R_LAB_SCREENSHOTS"):  # pictures are for people
        names, both = ("gru-clm, longer", "gru-clm"), (10, 4)
    for name, epochs in zip(names, both, strict=True):
        content = {
            "name": name,
            "data": {"path": data},
            "model": {"body": {"kind": "gru", "d_model": 32, "n_layer": 1}},
        }
        spec = RunSpec.parse({**content, "train": {"epochs": epochs, "learning_rate": 1e-2}})
        run(spec, home=server[1], on_report=silent)
    return names


@pytest.fixture(scope="module")
def opened() -> list[Any]:
    """The page of `runs_page`, if one is open."""
    return []


@pytest.fixture
def runs_page(
    browser: Any, server: tuple[str, Path], two_runs: tuple[str, str], opened: list[Any], request: pytest.FixtureRequest
) -> Iterator[Any]:
    """The front end with two runs, opened once for the tests that look at them, anew only where a test is tried again."""
    if getattr(request.node, "execution_count", 1) > 1:
        opened.clear()
    if not opened:
        opened.append(new_page(browser))
        open_lab(opened[0], server[0])
    theme(opened[0], "JupyterLab Light")
    with printed_on_failure(opened[0], request):
        yield opened[0]


def test_compare_two_runs(runs_page: Any, two_runs: tuple[str, str]) -> None:
    page, lab = runs_page, runs_page.locator(".t4r-lab").first
    tab(page, "Runs")
    for name in two_runs:
        page.locator(".t4r-tall").get_by_label(f"choose {name}").first.check()
    page.locator(".t4r-verdict p", has_text=re.compile("beats|no difference beyond noise")).first.wait_for()
    page.locator(".t4r-comparison .t4r-plain th", has_text="train.epochs").wait_for()  # what differs
    plots = page.locator(".t4r-plot .js-plotly-plot")
    plots.nth(3).wait_for()
    page.locator(".t4r-plot .parcoords").first.wait_for(state="attached")
    page.locator(".t4r-plot", has_text="epoch").locator("path.js-line").nth(3).wait_for(
        state="attached"
    )  # curves and baselines
    lab.get_by_role("button", name="Export").click()
    with page.expect_download() as report:
        lab.get_by_role("link", name="comparison.html").click()
    assert report.value.path().read_text(encoding="utf-8").startswith("<!doctype html>")
    shoot(page, "lab-compare-light")
    # plots take the notebook's colors, and no name of a run is markup in them
    legend = page.locator(".t4r-plot .legendtext").first
    assert two_runs[0] in legend.text_content()
    before = legend.evaluate("(e) => getComputedStyle(e).fill")
    theme(page, "JupyterLab Dark")
    page.wait_for_function(
        "(was) => getComputedStyle(document.querySelector('.t4r-plot .legendtext')).fill !== was", arg=before
    )
    shoot(page, "lab-compare-dark")
    expect(page.locator(".t4r-lab img[src=x]")).to_have_count(0)  # plotly keeps pictures of its own
    assert page.evaluate("window.hit") is None
    # one run alone: its spec goes into Architecture, where a change is listed beside what it was
    lab.get_by_role("button", name="Untick all").click()
    page.locator(".t4r-verdict").wait_for(state="hidden")
    page.locator(".t4r-tall").get_by_label(f"choose {two_runs[1]}").first.check()
    page.locator(".t4r-help", has_text="The test part is hidden until").wait_for()
    lab.get_by_role("button", name="Clone and edit").click()
    page.locator(".t4r-help", has_text="nothing is changed yet").wait_for()
    choose(page, "model.body", "×")
    page.get_by_label("d_model", exact=True).fill("48")
    page.get_by_label("d_model", exact=True).press("Tab")
    page.locator(".t4r-plain tr", has_text="model.body.d_model").locator("td", has_text="48").wait_for()


def test_filter_choose_columns_and_group(runs_page: Any, two_runs: tuple[str, str]) -> None:
    page = runs_page
    tab(page, "Runs")
    rows = page.locator(".t4r-tall:visible tbody tr")
    box = page.locator(".t4r-filter input")
    box.fill(f"state:finished name={two_runs[1]}")
    box.press("Enter")
    page.get_by_label(f"take away the filter name={two_runs[1]}").wait_for()
    expect(rows).to_have_count(1)
    box.fill("bdy:gru")
    expect(page.locator(".t4r-filter .t4r-error")).to_contain_text("did you mean")
    box.fill("")
    box.press("Backspace")  # takes away the last chip
    expect(page.locator(".t4r-term", has_text="name=")).to_have_count(0)
    page.get_by_role("button", name="▸ Columns").click()
    page.get_by_label("add a column").select_option("train.learning_rate")
    heading = page.locator(".t4r-tall:visible th[data-column='train.learning_rate']").first
    expect(heading).to_be_visible()
    page.get_by_label("move train.learning_rate to the left").press("Enter")
    page.get_by_label("group rows by").select_option("status")
    expect(page.locator(".t4r-group")).to_contain_text("runs · ndcg@")
    shoot(page, "runs-columns")
    page.get_by_role("button", name="As at first").click()
    expect(heading).to_have_count(0)
    page.get_by_label("group rows by").select_option("")
    page.get_by_label("take away the filter state:finished").click()


def test_recommend(runs_page: Any) -> None:
    page = runs_page
    tab(page, "Recommend")
    answer = page.locator(".t4r-answer")
    answer.locator("tbody tr").nth(9).wait_for()
    page.get_by_label("beside").select_option(index=1)
    answer.nth(1).locator("tbody tr").nth(9).wait_for()
    shoot(page, "lab-recommend-light")
    # by keyboard: clear, search by title, take the second match, then by id
    page.get_by_role("button", name="Clear").focus()
    page.keyboard.press("Enter")
    page.locator(".t4r-message", has_text="Add items by title or id").wait_for()
    field = page.get_by_label("add an item")
    field.focus()
    page.keyboard.type("of category 3")
    second = page.locator(".t4r-matches li").nth(1)
    second.wait_for()
    title = second.locator("span").first.inner_text()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    chips = page.locator(".t4r-session-item")
    page.locator(".t4r-session-item", has_text=title).wait_for()
    answer.first.locator("tbody tr").nth(9).wait_for()
    page.keyboard.type("17")
    page.locator(".t4r-matches li .t4r-under", has_text=re.compile("^17$")).wait_for()
    page.keyboard.press("Enter")
    chips.nth(1).wait_for()
    page.keyboard.press("Backspace")
    chips.nth(1).wait_for(state="detached")
    # a session in which the baseline is better, chosen with the arrow keys
    page.get_by_role("button", name=re.compile("Sessions where")).press("Enter")
    page.get_by_role("button", name="loses to", exact=True).press("Enter")
    page.locator(".t4r-table caption", has_text="gru-clm loses to successors").wait_for()
    page.get_by_role("radio").first.focus()
    page.keyboard.press("Space")
    page.locator("p.t4r-help", has_text="Came next").wait_for()
    expect(page.locator(".t4r-lab img[src=x]")).to_have_count(0)  # plotly, in another tab, keeps pictures of its own
    if os.environ.get("T4R_LAB_SCREENSHOTS"):
        theme(page, "JupyterLab Dark")
        shoot(page, "lab-recommend-dark")


WIDE = """() => [...document.querySelectorAll('.t4r-lab, .t4r-lab *')].filter(
    (e) => e.getBoundingClientRect().right > document.querySelector('.t4r-lab').getBoundingClientRect().right + 1
      && !e.closest('.t4r-scroll, pre')).map((e) => e.tagName + '.' + e.className)"""
"""What stands out of the Lab to the right."""


def test_nothing_scrolls_sideways(runs_page: Any) -> None:
    page = runs_page
    for width in (700, 760, 1600):  # the first is also 1400 at a zoom of 200 %
        page.set_viewport_size({"width": width, "height": 1200})
        for name in ("Data", "Architecture", "Train", "Tune", "Runs", "Recommend"):
            tab(page, name)
            if name == "Runs":
                page.locator(".t4r-tall tbody tr").first.wait_for()
            with suppress(TimeoutError):  # what is drawn anew follows the width a little later
                page.wait_for_function(f"() => ({WIDE})().length === 0", timeout=10_000)
            wide = page.evaluate(WIDE)
            assert wide == [], (width, name)
            assert unnamed(page) == [], name


def test_by_keyboard_alone_and_as_text(page: Any, server: tuple[str, Path]) -> None:
    lab = open_lab(page, server[0])
    page.locator(".t4r-lab .lm-TabBar-tab.lm-mod-current").focus()
    page.keyboard.press("Tab")  # from the tabs into the panel: the run's name
    page.keyboard.press("Control+a")
    page.keyboard.type(NASTY)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Undo", exact=True)).to_be_enabled()  # the name is taken
    tab_to(page, "document.activeElement.dataset.key === 'model.body'")  # the picture, at the block chosen last
    tab_to(page, "document.activeElement.labels?.[0]?.innerText === 'body'")
    choose_by_arrows(page, "GRU")
    page.locator(".t4r-block-title", has_text="GRU").wait_for()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    train = lab.get_by_role("button", name="Train", exact=True)
    train.focus()
    page.keyboard.press("Enter")
    card = page.locator(".t4r-card", has_text=NASTY).first
    card.wait_for()
    stop = card.get_by_role("button", name="Stop")
    stop.focus()
    page.keyboard.press("Enter")
    card.locator(".t4r-state", has_text=re.compile("stopped|finished")).wait_for(timeout=120_000)
    page.locator(".t4r-lab .lm-TabBar-tab.lm-mod-current").focus()
    page.keyboard.press("ArrowRight")  # past Tune
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator(".t4r-table tbody tr", has_text=NASTY).first.wait_for()
    expect(page.locator(".t4r-lab img")).to_have_count(0)
    assert page.evaluate("window.hit") is None


def test_reload_and_restart_find_the_running_job_again(page: Any, server: tuple[str, Path]) -> None:
    lab = open_lab(page, server[0])
    page.get_by_label("name", exact=True).fill("outlives")
    page.get_by_label("name", exact=True).press("Tab")
    choose(page, "train", "training")
    for knob in ("epochs", "patience"):  # it trains until it is stopped
        page.get_by_label(knob, exact=True).fill("2000")
        page.get_by_label(knob, exact=True).press("Tab")
    page.get_by_role("button", name="YAML", exact=True).click()
    for knob in ("epochs", "patience"):
        page.locator(".t4r-copy pre", has_text=f"{knob}: 2000").wait_for()
    lab.get_by_role("button", name="Train", exact=True).click()
    page.locator(".t4r-card", has_text="outlives").locator(".t4r-stage", has_text="training").wait_for(timeout=90_000)
    # the same kernel shows the same Lab again after a reload, and it still listens
    page.reload()
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    page.wait_for_function(CONNECTED)
    run_first_cell(page)
    expect(page.get_by_label("name", exact=True)).to_have_value("outlives")
    tab(page, "Architecture")
    page.get_by_label("name", exact=True).fill("another")
    page.get_by_label("name", exact=True).press("Tab")
    page.get_by_role("button", name="YAML", exact=True).click()
    page.locator(".t4r-copy pre", has_text="name: another").wait_for()
    # a fresh kernel finds the job where it is
    page.evaluate(RESTART)
    page.wait_for_function(CONNECTED)
    run_first_cell(page)
    page.locator(".t4r-header", has_text="1 job running").wait_for()
    tab(page, "Train")
    card = page.locator(".t4r-card", has_text="outlives").first
    card.locator("svg path.t4r-curve").first.wait_for(state="attached")
    # a second job waits in the queue, from which it is taken out
    page.get_by_label("jobs at once").select_option("1")
    tab(page, "Architecture")
    page.locator(".t4r-lab").get_by_role("button", name="Train", exact=True).click()
    waiting = page.locator(".t4r-card", has_text="another").first
    waiting.locator(".t4r-stage", has_text="in the queue: next").wait_for()
    waiting.get_by_role("button", name="Cancel").click()
    waiting.locator(".t4r-state", has_text="canceled").wait_for()
    page.get_by_label("jobs at once").select_option("no limit")
    card.get_by_role("button", name="Stop").click()
    card.locator(".t4r-state", has_text="stopped").wait_for(timeout=60_000)
    # and goes on where it was
    before = int(re.search(r"at epoch (\d+)", card.locator("svg").nth(1).get_attribute("aria-label"))[1])
    card.get_by_role("button", name="Resume").click()
    page.wait_for_function(
        "(before) => [...document.querySelectorAll('.t4r-card')].find((card) => card.textContent.includes('outlives'))"
        ".querySelectorAll('svg')[1]?.ariaLabel?.match(/at epoch (\\d+)/)?.[1] > before + 1",
        arg=before,
        timeout=90_000,
    )
    card.get_by_role("button", name="Pause").click()
    card.locator(".t4r-state", has_text="paused").wait_for(timeout=60_000)
