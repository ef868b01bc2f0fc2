"""The Tune panel as a person uses it: tick, start, watch, restart the kernel, stop, and take a trial's spec."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.browser import CONNECTED, RESTART, choose, open_lab, run_first_cell, shoot, tab, theme

pytestmark = pytest.mark.browser


def test_search_stop_and_take_a_trial(page: Any, server: tuple[str, Any]) -> None:
    lab = open_lab(page, server[0])
    choose(page, "train", "training")
    page.get_by_label("epochs", exact=True).fill("1")
    page.get_by_label("epochs", exact=True).press("Tab")
    tab(page, "Tune")
    page.locator(".t4r-message", has_text="No studies yet").wait_for()
    lab.get_by_role("button", name="regularizers").press("Enter")
    page.locator(".t4r-note", has_text="8 knobs for ndcg@20").wait_for()
    page.get_by_label("objectives", exact=True).fill("ndcg@20, ecee")
    page.get_by_label("objectives", exact=True).press("Tab")
    page.locator(".t4r-message[role=alert]", has_text="did you mean").wait_for()
    page.get_by_label("objectives", exact=True).fill("ndcg@20, ece")
    page.get_by_label("objectives", exact=True).press("Tab")
    page.locator(".t4r-note", has_text="no trial is pruned").wait_for()
    shoot(page, "lab-tune-form-light")
    theme(page, "JupyterLab Dark")
    shoot(page, "lab-tune-form-dark")
    lab.get_by_role("button", name="Start", exact=True).click()
    page.locator(".t4r-standing", has_text="running").wait_for(timeout=90_000)
    page.evaluate(RESTART)
    page.wait_for_function(CONNECTED)
    lab = run_first_cell(page)
    tab(page, "Tune ●")
    page.locator(".t4r-tall tbody tr", has_text="finished").nth(2).wait_for(timeout=120_000)
    lab.get_by_role("button", name="New study").click()
    lab.get_by_role("button", name="Pause", exact=True).click()
    page.locator(".t4r-standing", has_text="paused").wait_for(timeout=30_000)
    lab.get_by_role("button", name="Resume", exact=True).click()
    page.locator(".t4r-standing", has_text="running").wait_for(timeout=30_000)
    page.locator(".t4r-dots svg >> nth=0").locator('[data-trial="0"]').click()
    page.locator("tr.t4r-chosen", has_text="starting spec").wait_for()
    shoot(page, "lab-tune-dark")
    theme(page, "JupyterLab Light")
    lab.get_by_role("button", name="Stop", exact=True).click()
    page.locator(".t4r-standing", has_text="stopped").wait_for(timeout=90_000)
    shoot(page, "lab-tune-light")
    for width in (700, 1600):
        page.set_viewport_size({"width": width, "height": 1200})
        wide = page.evaluate(
            "[document.querySelector('.t4r-lab').scrollWidth, document.querySelector('.t4r-lab').clientWidth]"
        )
        assert wide[0] <= wide[1], width
        shoot(page, f"lab-tune-{width}")
    page.get_by_label("choose 1", exact=True).check()
    page.locator('.t4r-dots [data-trial="1"].t4r-picked').first.wait_for()
    lab.get_by_role("button", name="Use this trial's spec").click()
    page.locator(".t4r-side", has_text="gpt2-clm · trial 1").first.wait_for()
