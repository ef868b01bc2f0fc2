"""The split of raw events as a picture, before they are prepared."""

from __future__ import annotations

from t4r_lab.data.pipeline.split_preview import SplitPreview
from t4r_lab.lab.panels.data.profile_page import check_list, parts_table
from t4r_lab.lab.parts import plots

NO_TIMES = "Events have no times: their order in the file counts."


def split_picture(split: SplitPreview) -> str:
    """Events over time with the cuts, the size of each part and the checks, as HTML."""
    drawn = (
        plots.over_time(split.time, split.cuts, split.dated)
        if split.time
        else f'<div class="t4r-help">{NO_TIMES}</div>'
    )
    return (
        '<section class="t4r-split" aria-label="the split, before preparing">'
        '<div class="t4r-heading">The split, before preparing</div>'
        f'<div class="t4r-split-parts"><div>{drawn}</div><div>{parts_table(split.parts)}</div></div>'
        f'<div class="t4r-checks">{check_list(split.checks)}</div></section>'
    )
