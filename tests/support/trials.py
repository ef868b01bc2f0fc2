"""The trials of a study that other processes work on, read again and again at little cost."""

from __future__ import annotations

from pathlib import Path

from t4r_lab.base.errors import InputError
from t4r_lab.tuning.studies.open_study import load
from t4r_lab.tuning.studies.storage import connect_to_read
from t4r_lab.tuning.studies.storage_address import address
from t4r_lab.tuning.studies.study import Study, Trial


class Trials:
    """It opens the study once: connecting anew for each look takes a good part of a core."""

    def __init__(self, name: str, home: Path, storage: str | None = None) -> None:
        self.name, self.home, self.storage = name, home, storage
        self._study: Study | None = None

    def __call__(self) -> list[Trial]:
        """The present trials; none before the study has begun."""
        if self._study is None:
            try:
                self._study = load(self.name, connect_to_read(address(self.home, self.storage)))
            except InputError:
                return []
        return self._study.trials()

    def count(self, state: str) -> int:
        return sum(trial.state == state for trial in self())
