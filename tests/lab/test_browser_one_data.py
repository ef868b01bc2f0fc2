"""In the browser: other data are taken whole, what they lack goes with one button, and replacing is asked for."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import block, expect, open_lab, shoot, tab, theme
from tests.support.panels import HEADS, shop

pytestmark = pytest.mark.browser


def pictures(page: Any, name: str) -> None:
    """Light and dark, wide and narrow, where pictures are asked for."""
    if not os.environ.get("T4R_LAB_SCREENSHOTS"):
        return
    size = page.viewport_size
    for dark in (False, True):
        theme(page, f"JupyterLab {'Dark' if dark else 'Light'}")
        for width in (1400, 700):
            page.set_viewport_size({"width": width, "height": size["height"]})
            shoot(page, f"{name}-{'dark' if dark else 'light'}-{width}")
    theme(page, "JupyterLab Light")
    page.set_viewport_size(size)


def test_data_that_lack_a_label_are_shown_and_trained_once_its_head_is_dropped(
    page: Any,
    server: tuple[str, Path],
    jupyter: tuple[str, Path],
) -> None:
    from t4r_lab import tracking
    from t4r_lab.data.prepared.prepared_data import Dataset
    from t4r_lab.spec import RunSpec

    home = server[1]
    for name in ("labelled", "plain"):
        shop(home / "data" / name, name == "labelled")
    spec = RunSpec.parse(
        {"name": "two-heads", "data": {"path": str(home / "data" / "labelled")}, "model": {"heads": HEADS}}
    )
    (jupyter[1] / "work" / "two.yaml").write_text(spec.to_yaml())
    lab = open_lab(page, server[0])
    lab.get_by_role("button", name="load", exact=True).click()
    page.get_by_label("or its path").fill("two.yaml")
    page.get_by_label("or its path").press("Tab")
    lab.get_by_role("button", name="Load", exact=True).last.click()
    page.locator(".t4r-header", has_text="labelled · ").wait_for()
    tab(page, "Data")
    page.get_by_label("dataset").select_option(label="plain")
    page.locator(".t4r-header", has_text="plain · ").wait_for()
    tab(page, "Architecture")
    refused = page.locator(".t4r-foot .t4r-message", has_text="the data has no label 'bought'").first
    refused.wait_for()
    train = lab.get_by_role("button", name="Train", exact=True)
    expect(train).to_be_disabled()
    page.get_by_role("button", name="YAML", exact=True).click()
    page.locator(".t4r-copy pre", has_text="/plain").wait_for()
    assert (
        "/plain" in page.locator(".t4r-copy pre").inner_text()
        and "plain" in page.locator("svg.t4r-picture").text_content()
    )
    pictures(page, "refused-architecture")
    expect(block(page, "model.heads.1")).to_have_class(re.compile("t4r-refused"))
    tab(page, "Tune")
    page.locator(".t4r-knobs tbody tr input").first.check()
    page.locator(".t4r-message", has_text="Fix the spec in Architecture first").wait_for()
    expect(lab.get_by_role("button", name="Start", exact=True)).to_be_disabled()
    pictures(page, "refused-tune")
    tab(page, "Architecture")
    lab.get_by_role("button", name="Drop all 2 that don't fit").click()
    page.locator(".t4r-message", has_text=re.compile("Ready to train on .*/plain")).wait_for()
    expect(page.locator(".t4r-note", has_text="dropped: head bought, head rating")).to_have_count(1)
    expect(train).to_be_enabled()
    pictures(page, "dropped-architecture")
    # replacing data that a run refers to
    record = tracking.start(home, spec, Dataset.open(home / "data" / "labelled"))
    record.finish("FINISHED", "")
    (jupyter[1] / "work" / "new.csv").write_text(
        "session,item,time\n" + "".join(f"{s},{(s + t) % 9},{s * 100 + t}\n" for s in range(60) for t in range(4))
    )
    tab(page, "Data")
    lab.get_by_role("button", name="Prepare raw events").click()
    page.get_by_label("file", exact=True).fill("new.csv")
    page.get_by_label("file", exact=True).press("Tab")
    page.locator(".t4r-prepare .t4r-note", has_text="then prepare").wait_for()
    page.get_by_label("save as").fill("labelled")
    page.get_by_label("save as").press("Tab")
    page.locator(".t4r-help", has_text="replaces the prepared data of that name").wait_for()
    lab.get_by_role("button", name="Prepare", exact=True).click()
    page.locator(".t4r-message", has_text="run two-heads refers to").wait_for()
    pictures(page, "asked-data")
    lab.get_by_role("button", name="Replace them").click()
    page.locator(".t4r-header", has_text="labelled · ").wait_for()
    tab(page, "Architecture")
    page.locator(".t4r-message", has_text=re.compile("Ready to train on .*/labelled")).wait_for()
