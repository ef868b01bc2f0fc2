"""The Architecture panel as a person uses it: the picture by mouse and by keys, presets, costs, vectors, the spec as text."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import block, choose, expect, open_lab, shoot, theme

pytestmark = pytest.mark.browser


def chosen(page: Any, key: str) -> None:
    expect(block(page, key)).to_have_attribute("aria-pressed", "true")


def test_put_a_model_together_from_a_preset(page: Any, server: tuple[str, Path]) -> None:
    lab = open_lab(page, server[0])
    costs, inspector = page.locator(".t4r-estimate"), page.locator(".t4r-inspector")
    page.locator(".t4r-estimate", has_text="per epoch").wait_for(timeout=90_000)
    # a preset: another model, its source, and its own costs
    small = costs.inner_text()
    page.get_by_role("button", name="presets", exact=True).click()
    shoot(page, "lab-architecture-presets-light")
    page.get_by_title("start from GPT-2 · causal (paper)").click()
    page.locator(".t4r-chosen-card", has_text="online appendix C").wait_for()
    page.wait_for_function(
        "(was) => { const now = document.querySelector('.t4r-estimate').innerText; return now !== was && !now.includes('estimating'); }",
        arg=small,
        timeout=90_000,
    )
    page.locator(".t4r-picture .t4r-share-bar").nth(2).wait_for(state="attached")
    # a further tower, whose features are its own
    block(page, "add model.towers").click()
    inspector.get_by_label("another tower").select_option(label="GRU")
    inspector.get_by_role("button", name="Add tower").press("Enter")
    chosen(page, "model.towers.0.body")
    block(page, "add model.inputs.features").click()
    choose(page, "model.towers.0.inputs.features.price", "price")
    inspector.get_by_role("button", name="Remove").click()
    expect(page.locator("[data-key='model.towers.0.inputs.features.price']")).to_have_count(0)
    expect(page.locator(".t4r-picture")).to_have_attribute(
        "aria-label", re.compile(r"GPT2 ×2 1 head B × 20 × 192.* \| GRU ×2")
    )
    # a head for a label of the data
    block(page, "add model.heads").click()
    inspector.get_by_label("another head").select_option(label="purchase · binary")
    inspector.get_by_role("button", name="Add head").click()
    chosen(page, "model.heads.1")
    # vectors that aren't there are refused on their block, by who has seen the data
    block(page, "add model.inputs.features").click()
    inspector.get_by_label("further vectors").first.fill("text")
    inspector.get_by_role("button", name="Add vectors").first.click()
    page.locator(".t4r-inspector .t4r-feature", has_text="give the path").wait_for()
    inspector.get_by_label("vectors", exact=True).fill("none.npy")
    inspector.get_by_label("vectors", exact=True).press("Tab")
    chosen(page, "model.inputs.features.text")  # it is a part of the model now
    page.locator(".t4r-inspector .t4r-feature .t4r-error", has_text="no such file").wait_for(timeout=90_000)
    expect(block(page, "model.inputs.features.text")).to_have_class(re.compile("t4r-refused"))
    expect(lab.get_by_role("button", name="Train", exact=True)).to_be_disabled()
    shoot(page, "lab-architecture-vectors-light")
    inspector.get_by_role("button", name="Remove").click()
    page.locator(".t4r-message", has_text="Ready to train").wait_for()
    page.locator(".t4r-estimate", has_text="per epoch").wait_for()
    # the same as a program, and another spec instead
    page.get_by_role("button", name="Python", exact=True).click()
    page.locator(".t4r-copy pre", has_text='BinaryClassificationTask("purchase")').wait_for()
    page.wait_for_function("!document.querySelector('.t4r-estimate').innerText.includes('estimating')", timeout=90_000)
    page.get_by_role("button", name="YAML", exact=True).click()
    page.locator(".t4r-copy pre", has_text="column: purchase").wait_for()
    shoot(page, "lab-architecture-parts-light")
    page.get_by_role("button", name="load", exact=True).click()
    page.get_by_label("spec to paste").fill("name: pasted\ndata: {path: nowhere}\nmodel: {body: {kind: gru}}")
    page.get_by_role("button", name="Load", exact=True).last.click()
    page.locator(".t4r-note", has_text="its own data can't be opened").wait_for()
    expect(page.locator(".t4r-picture")).to_have_attribute("aria-label", re.compile("GRU ×2"))
    page.get_by_role("button", name="all knobs", exact=True).click()
    page.locator(".t4r-section", has_text="Inputs").first.wait_for()
    for name in ("JupyterLab Dark", "JupyterLab Light"):
        theme(page, name)
        shoot(page, f"lab-architecture-form-{name.split()[1].lower()}")
    if os.environ.get("T4R_LAB_SCREENSHOTS"):
        page.get_by_role("button", name="block", exact=True).click()
        for width in (700, 900, 1400):
            page.set_viewport_size({"width": width, "height": 900})
            for name in ("Dark", "Light"):
                theme(page, f"JupyterLab {name}")
                shoot(page, f"lab-architecture-{width}-{name.lower()}")
    end = page.locator(".t4r-lab").evaluate("lab => lab.scrollWidth <= lab.clientWidth + 1")
    assert end  # no sideways scrolling


def test_the_picture_by_keys_alone(page: Any, server: tuple[str, Path]) -> None:
    open_lab(page, server[0])
    inspector = page.locator(".t4r-inspector")
    block(page, "model.body").focus()
    page.keyboard.press("ArrowDown")
    chosen(page, "model.heads.0")
    page.keyboard.press("ArrowRight")
    chosen(page, "model.heads.0.loss")
    inspector.get_by_text("label smoothing", exact=True).wait_for()
    page.keyboard.press("Home")
    chosen(page, "data")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    focused = page.evaluate("document.activeElement.dataset.key")
    assert focused.startswith("model.inputs.features.")
    block(page, "model.inputs.features.price").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Alt+ArrowLeft")  # before the category
    order = "() => [...document.querySelectorAll('.t4r-canvas [data-of$=features]')].map((b) => b.dataset.key.split('.').pop()).join()"
    page.wait_for_function(f"({order})() === 'item_id,price,category'")
    chosen(page, "model.inputs.features.price")
    page.keyboard.press("Delete")
    page.wait_for_function(f"({order})() === 'item_id,category'")
    page.keyboard.press("Control+z")
    page.wait_for_function(f"({order})() === 'item_id,price,category'")
    page.keyboard.press("Control+z")
    page.wait_for_function(f"({order})() === 'item_id,category,price'")
    page.keyboard.press("Control+Shift+z")
    page.wait_for_function(f"({order})() === 'item_id,price,category'")
    page.locator(".jp-Notebook .jp-Cell").nth(1).wait_for()  # the notebook has taken none of the keys for its own
    # Tab leads from the picture to the chosen block's knobs
    block(page, "model.body").focus()
    page.keyboard.press("Enter")
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("Boolean(document.activeElement.closest('.t4r-inspector'))"):
            break
    assert page.evaluate("Boolean(document.activeElement.closest('.t4r-inspector'))")


def test_a_block_is_dragged_within_its_list(page: Any, server: tuple[str, Path]) -> None:
    lab = open_lab(page, server[0])
    page.locator(".t4r-estimate", has_text="per epoch").wait_for(timeout=90_000)  # nothing is drawn anew meanwhile
    page.set_viewport_size({"width": 1280, "height": 640})
    expect(lab.get_by_role("button", name="Train", exact=True)).to_be_in_viewport(ratio=1)  # without scrolling
    page.set_viewport_size({"width": 1280, "height": 1400})
    category, price = (block(page, f"model.inputs.features.{name}") for name in ("category", "price"))
    price.drag_to(category)
    order = "() => [...document.querySelectorAll('.t4r-canvas [data-of$=features]')].map((b) => b.dataset.key.split('.').pop()).join()"
    page.wait_for_function(f"({order})() === 'item_id,price,category'")
    body = block(page, "model.body")
    price.drag_to(body)  # of another list: nothing moves
    page.wait_for_function(f"({order})() === 'item_id,price,category'")
    with page.expect_download() as download:
        page.get_by_text("Save picture").click()
    assert download.value.suggested_filename.endswith(".svg")
    assert "GPT2 ×2" in Path(download.value.path()).read_text(encoding="utf-8")
