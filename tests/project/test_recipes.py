"""The specs under recipes/ are valid and say what their names say."""

from __future__ import annotations

from pathlib import Path

import pytest

from t4r_lab.spec import RunSpec
from t4r_lab.spec.study_options import Plan, StudyOptions, load_study
from tests import ROOT

FOLDER = ROOT / "recipes"
RECIPES, STUDIES = sorted(FOLDER.glob("*.yaml")), sorted(FOLDER.glob("studies/*.yaml"))


def test_there_are_recipes() -> None:
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipe_is_valid_and_named_after_what_it_is(path: Path) -> None:
    spec = RunSpec.load(path)
    assert spec.name == path.stem
    assert path.stem.endswith(f"-{spec.model.body.kind}-{spec.model.masking.kind}")
    assert path.stem.startswith(Path(spec.data.path).name)


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_recipe_of_a_study_is_valid_and_named_after_what_it_searches(path: Path) -> None:
    spec, section = load_study(path)
    plan = Plan.of(spec, StudyOptions.parse(section))
    assert spec.name == path.stem == f"{Path(spec.data.path).name}-{plan.options.presets[0]}"
    assert plan.options.total_trials == 40
