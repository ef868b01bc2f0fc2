"""The specs under recipes/ are valid and say what their names say."""

from __future__ import annotations

from pathlib import Path

import pytest

from t4r_lab.spec import RunSpec

RECIPES = sorted((Path(__file__).parent.parent / "recipes").glob("*.yaml"))


def test_there_are_recipes() -> None:
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipe_is_valid_and_named_after_what_it_is(path: Path) -> None:
    spec = RunSpec.load(path)
    assert spec.name == path.stem
    assert path.stem.endswith(f"-{spec.model.body.kind}-{spec.model.masking.kind}")
    assert path.stem.startswith(Path(spec.data.path).name)
