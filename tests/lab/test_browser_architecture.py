"""The Architecture panel as a person uses it: a preset, its costs, another tower and head, vectors, the spec as text."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import expect, open_lab, shoot, theme

pytestmark = pytest.mark.browser


def test_put_a_model_together_from_a_preset(page: Any, server: tuple[str, Path]) -> None:
    lab = open_lab(page, server[0])
    costs = page.locator(".t4r-estimate")
    page.locator(".t4r-estimate", has_text="per epoch").wait_for(timeout=90_000)
    # a preset: another model, its source, and its own costs
    small = costs.inner_text()
    page.get_by_label("preset", exact=True).select_option(label="GPT-2 · causal (paper)")
    page.locator(".t4r-help", has_text="online appendix C").wait_for()
    page.wait_for_function(
        "(was) => { const now = document.querySelector('.t4r-estimate').innerText; return now !== was && !now.includes('estimating'); }",
        arg=small,
        timeout=90_000,
    )
    page.locator(".t4r-picture .t4r-memory").nth(2).wait_for(state="attached")
    # a further tower, whose features are its own
    page.get_by_label("another tower").select_option(label="GRU")
    page.get_by_role("button", name="Add tower").press("Enter")
    page.locator(".t4r-heading", has_text="tower 2 · GRU").wait_for()
    page.locator(".t4r-element + .t4r-features").get_by_label("price", exact=True).uncheck()
    page.locator(".t4r-picture desc", has_text=re.compile(r"GPT2 ×2 1 head B × 20 × 192.* \| GRU ×2")).wait_for(
        state="attached"
    )
    # a head for a label of the data
    lab.get_by_role("button", name="▸ Heads").click()
    page.get_by_label("another head").select_option(label="purchase · binary")
    page.get_by_role("button", name="Add head").click()
    page.locator(".t4r-copy pre", has_text="column: purchase").wait_for()
    # vectors that aren't there are refused beside their feature, by who has seen the data
    lab.get_by_role("button", name="▸ Inputs").click()
    page.get_by_label("further vectors").first.fill("text")
    page.get_by_role("button", name="Add vectors").first.click()
    page.locator(".t4r-feature", has_text="give the path").wait_for()
    page.get_by_label("vectors", exact=True).fill("none.npy")
    page.get_by_label("vectors", exact=True).press("Tab")
    page.locator(".t4r-feature .t4r-error", has_text="no such file").wait_for(timeout=90_000)
    expect(lab.get_by_role("button", name="Train", exact=True)).to_be_disabled()
    shoot(page, "lab-architecture-vectors-light")
    page.get_by_label("text", exact=True).press("Space")  # its row goes with it, so that no state is left to look at
    page.locator(".t4r-message", has_text="Ready to train").wait_for()
    page.locator(".t4r-estimate", has_text="per epoch").wait_for()
    # the same as a program, and another spec instead
    page.get_by_role("button", name="Python", exact=True).click()
    page.locator(".t4r-copy pre", has_text='BinaryClassificationTask("purchase")').wait_for()
    page.wait_for_function("!document.querySelector('.t4r-estimate').innerText.includes('estimating')", timeout=90_000)
    if os.environ.get("T4R_LAB_SCREENSHOTS"):
        page.set_viewport_size({"width": 1280, "height": 3400})
        shoot(page, "lab-architecture-towers-light")
        theme(page, "JupyterLab Dark")
        shoot(page, "lab-architecture-towers-dark")
        page.set_viewport_size({"width": 700, "height": 4700})
        shoot(page, "lab-architecture-towers-narrow")
    wide = page.evaluate(
        "document.querySelector('.t4r-lab').scrollWidth <= document.querySelector('.t4r-lab').clientWidth + 1"
    )
    assert wide
    lab.get_by_role("button", name="▸ Load a spec").click()
    page.get_by_label("spec to paste").fill("data: {path: nowhere}\nmodel: {body: {kind: gtp2}}")
    page.get_by_role("button", name="Load", exact=True).press("Enter")  # a message that goes moves it under a pointer
    page.locator(".t4r-message", has_text="did you mean").wait_for()
    page.get_by_label("spec to paste").fill("name: pasted\ndata: {path: nowhere}\nmodel: {body: {kind: lstm}}")
    page.get_by_role("button", name="Load", exact=True).press("Enter")  # a message that goes moves it under a pointer
    page.locator(".t4r-message", has_text="its own data can't be opened").wait_for()
    page.locator(".t4r-copy pre", has_text="RNNBlock").wait_for()
