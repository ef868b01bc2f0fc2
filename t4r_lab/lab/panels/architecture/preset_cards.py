"""Presets as cards: a published model each, with when to use it and its source."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as w

from t4r_lab.lab.parts.text import escape
from t4r_lab.spec.presets import PRESETS

HELP = "A preset replaces features, model and training by a published model's values, and keeps the data."


class PresetCards(w.VBox):
    """A card for each preset; its button calls `on_start` with the preset's name."""

    def __init__(self, on_start: Callable[[str], None]) -> None:
        self.buttons: dict[str, w.Button] = {}
        self._cards: dict[str, w.VBox] = {}
        for name, preset in PRESETS.items():
            button = w.Button(description="Use", tooltip=f"start from {preset.title}")
            button.on_click(lambda _, name=name: on_start(name))
            title = w.HTML(f'<div class="t4r-block-title">{escape(preset.title)}</div>')
            head = w.HBox([title, button])
            head.add_class("t4r-card-head")
            words = f'<div>{escape(preset.when)}</div><div class="t4r-help">After {escape(preset.source)}.</div>'
            card = w.VBox([head, w.HTML(words)])
            card.add_class("t4r-card")
            self.buttons[name], self._cards[name] = button, card
        grid = w.VBox(list(self._cards.values()))
        grid.add_class("t4r-preset-cards")
        super().__init__([w.HTML(f'<div class="t4r-help">{escape(HELP)}</div>'), grid])

    def show(self, chosen: str) -> None:
        """Mark the preset in use; empty for none."""
        for name, card in self._cards.items():
            (card.add_class if name == chosen else card.remove_class)("t4r-chosen-card")
            self.buttons[name].description = "Used" if name == chosen else "Use"
