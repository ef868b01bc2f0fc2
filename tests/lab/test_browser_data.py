"""The Data panel in real JupyterLab: a data frame of the notebook becomes prepared data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import NASTY, expect, open_lab, shoot, tab, theme

pytestmark = pytest.mark.browser

FRAME = f"""
import numpy as np, pandas as pd
rng = np.random.default_rng(0)
visit = np.repeat(np.arange(900), 4)
thing = np.minimum(rng.zipf(1.5, len(visit)), 60 + visit // 12)
clicks = pd.DataFrame({{
    "visit": visit, "article": thing, "timestamp": 1.7e9 + 3600.0 * visit + rng.integers(0, 7200, len(visit)),
    "customer_id": visit % 300, "name": [{NASTY!r} if t == 1 else f"article {{t}}" for t in thing],
    "shelf": [("garden", "kitchen", "tools")[t % 3] for t in thing], "price": thing * 1.99,
    "device": np.where(visit % 3, "phone", "desktop"), "bought": rng.integers(0, 2, len(visit)),
}})
"""
EXECUTE = """async code => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error("no answer to a cell")), 30000));
  await Promise.race([kernel.requestExecute({code}).done, late]);
}"""


def test_a_frame_of_the_notebook_is_corrected_and_prepared(page: Any, server: tuple[str, Path], tmp_path: Path) -> None:
    open_lab(page, server[0])
    tab(page, "Data")
    page.locator(".t4r-checks li").first.wait_for()
    shoot(page, "lab-data-light")
    page.get_by_role("button", name="Prepare raw events").click()
    page.locator(".t4r-prepare .t4r-empty", has_text="Choose a data frame").wait_for()
    page.get_by_role("button", name="Browse files").click()
    page.get_by_label("folders and files", exact=True).locator("option", has_text="lab.ipynb").wait_for(
        state="attached"
    )
    shoot(page, "lab-data-browse-light")
    # a file from the user's machine, larger than JupyterLab's limit of 10 MB for a message
    mine = tmp_path / "mine.csv"
    mine.write_text("session,item,time\n" + "1,2,3\n" * 2_000_000)
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Upload a file").click()
    chosen.value.set_files(mine)
    page.locator(".t4r-upload", has_text="uploaded as mine.csv").wait_for()
    assert (server[1] / "uploads" / "mine.csv").read_bytes() == mine.read_bytes()
    page.evaluate(EXECUTE, FRAME)  # as a later cell does
    source = page.get_by_label("events from", exact=True)
    source.locator("option", has_text="clicks · pandas, 3,600 × 9").wait_for(state="attached")
    source.select_option(label="clicks · pandas, 3,600 × 9")
    page.locator(".t4r-prepare caption", has_text="First rows of 3,600").wait_for()
    page.locator(".t4r-prepare [role=alert]", has_text="no item column").wait_for()
    prepare = page.get_by_role("button", name="Prepare", exact=True)
    expect(prepare).to_be_disabled()
    shoot(page, "lab-data-prepare-error-light")
    for column, role in (("article", "item"), ("visit", "session"), ("bought", "label")):
        page.get_by_label(f"role of {column}", exact=True).select_option(label=role)
    page.locator(".t4r-prepare .t4r-note", has_text="Correct roles").wait_for()
    depends = page.get_by_label("what device depends on", exact=True)
    depends.locator("option:checked", has_text="the session").wait_for(state="attached")
    page.get_by_label("what price depends on", exact=True).select_option(label="the session")
    page.locator(".t4r-column-line .t4r-help", has_text="events differ; the first value counts").wait_for()
    page.get_by_role("region", name="the split, before preparing").get_by_role(
        "img", name="Events over time"
    ).wait_for()
    shoot(page, "lab-data-prepare-light")
    if os.environ.get("T4R_LAB_SCREENSHOTS"):
        theme(page, "JupyterLab Dark")
        shoot(page, "lab-data-prepare-dark")
    prepare.click()
    page.locator(".t4r-header", has_text="clicks · 9").or_(
        page.locator(".t4r-header", has_text="clicks · 8")
    ).wait_for()
    page.locator(".t4r-profile .t4r-checks li", has_text="sessions of users that training holds").wait_for()
    assert page.evaluate("window.hit") is None  # the item's title stayed text
    shoot(page, "lab-data-dark")
    if os.environ.get("T4R_LAB_SCREENSHOTS"):
        theme(page, "JupyterLab Light")
        page.set_viewport_size({"width": 760, "height": 1400})
        shoot(page, "lab-data-narrow-light")
        page.get_by_role("button", name="Prepare raw events").click()
        shoot(page, "lab-data-prepare-narrow-light")
    wide = page.evaluate(
        "() => { const e = document.querySelector('.t4r-lab'); return e.scrollWidth - e.clientWidth; }"
    )
    assert wide <= 1
