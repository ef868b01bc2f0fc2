"""The site: its nav names every page, its links lead somewhere, its reference has every public name."""

from __future__ import annotations

import importlib.util
import inspect
import os.path
import re
import subprocess
from datetime import date
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests import ROOT

DOCS = ROOT / "docs"


def load_hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_pages", DOCS / "site_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SITE = load_hook()
WRITTEN = {path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md")}
SOURCES = sorted(WRITTEN | set(SITE.PAGES))


def nav_pages(entry: Any) -> list[str]:
    """Pages named in a part of mkdocs.yml's nav."""
    if isinstance(entry, str):
        return [entry]
    children = entry.values() if isinstance(entry, dict) else entry
    return [page for child in children for page in nav_pages(child)]


def anchors(text: str) -> set[str]:
    """Anchors of the headings of a Markdown text, as MkDocs makes them."""
    prose = re.sub(r"(?ms)^```.*?^```$", "", text)
    titles = re.findall(r"(?m)^#+ (.+)$", prose)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


def test_nav_names_every_page_once() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    expected = [name.removeprefix("docs/") for name in WRITTEN] + [*SITE.PAGES.values(), *SITE.REFERENCES.values()]
    assert sorted(nav_pages(config["nav"])) == sorted(expected)


@pytest.mark.parametrize("source", SOURCES)
def test_links_lead_somewhere(source: str) -> None:
    text = (ROOT / source).read_text(encoding="utf-8")
    for match in SITE.LINK.finditer(re.sub(r"(?ms)^```.*?^```$", "", text)):
        if "://" in match["target"]:
            continue
        target = (ROOT / source).parent / match["target"] if match["target"] else ROOT / source
        assert target.exists(), f"{source}: {match[0]}"
        if match["anchor"]:
            assert match["anchor"].removeprefix("#") in anchors(target.read_text(encoding="utf-8")), match[0]


@pytest.mark.parametrize("source", SOURCES)
def test_links_of_the_site_stay_in_it(source: str) -> None:
    page = SITE.PAGES.get(source) or source.removeprefix("docs/")
    pages = {*SITE.PAGES.values(), *SITE.REFERENCES.values(), *(name.removeprefix("docs/") for name in WRITTEN)}
    for match in SITE.LINK.finditer(SITE.to_site((ROOT / source).read_text(encoding="utf-8"), source)):
        if match["target"] and "://" not in match["target"]:
            target = os.path.normpath(os.path.join(os.path.dirname(page), match["target"]))
            assert target in pages or (DOCS / target).is_file(), f"{source}: {match[0]}"


def test_a_file_without_a_page_is_named_by_its_path() -> None:
    assert SITE.to_site("[recipes](recipes/) [log](docs/log.md#a)", "README.md") == "recipes [log](log.md#a)"
    assert SITE.to_site("[all](recipes/studies/)", "README.md") == "all (`recipes/studies`)"
    assert SITE.to_site("[it](../CONTRIBUTING.md)", "docs/cli.md") == "[it](contributing.md)"


@pytest.mark.parametrize("package", SITE.REFERENCES)
def test_the_reference_has_every_public_name(package: str) -> None:
    public = [name for name in import_module(package).__all__ if not name.startswith("_")]
    listed = re.findall(r"(?m)^::: (\S+)$", SITE.reference(package))
    values = {path: getattr(import_module(path.rpartition(".")[0]), path.rpartition(".")[2]) for path in listed}
    for name in public:
        (path,) = [path for path in listed if path.endswith(f".{name}")]
        assert values[path] is getattr(import_module(package), name)
    kinds = {type(value) for value in values.values()}
    others = [value for path, value in values.items() if path.rpartition(".")[2] not in public]
    assert set(others) <= kinds, "beside the public names, only the classes of public values"


@pytest.mark.parametrize("package", SITE.REFERENCES)
def test_parameters_stand_as_numpydoc_reads_them(package: str) -> None:
    for path in re.findall(r"(?m)^::: (\S+)$", SITE.reference(package)):
        module, _, name = path.rpartition(".")
        value = getattr(import_module(module), name)
        members = vars(value).items() if inspect.isclass(value) else []
        for part in [value, *(member for key, member in members if not key.startswith("_"))]:
            section = re.search(r"(?ms)^Parameters\n-+\n(.*?)(?:\n\n|\Z)", inspect.getdoc(part) or "")
            names = [line for line in section[1].splitlines() if not line.startswith(" ")] if section else []
            assert [line for line in names if not re.fullmatch(r"\w+(, \w+)*", line)] == [], f"{path}: {part}"


def log_entries() -> list[tuple[str, str, list[str]]]:
    """Day, title and commits of each entry of docs/log.md."""
    entries = []
    for day in re.split(r"(?m)^## ", (DOCS / "log.md").read_text(encoding="utf-8"))[1:]:
        for entry in re.findall(r"(?ms)^- (.*?)(?=^- |\Z)", day):
            head = re.match(r"\*\*(.+?)\*\*\s\(((?:`[0-9a-f]{7,}`(?:,\s+)?)+)\)\.", entry, re.DOTALL)
            assert head, f"an entry begins with **outcome** (`commit`). and not with {entry[:60]!r}"
            entries.append((day.split("\n")[0], head[1], re.findall(r"[0-9a-f]{7,}", head[2])))
    return entries


def test_the_log_is_by_day_newest_first() -> None:
    days = [date.fromisoformat(day) for day, _, _ in log_entries()]
    assert days == sorted(days, reverse=True) and days


def test_entries_of_the_log_are_of_the_day_of_their_commits() -> None:
    for day, title, commits in log_entries():
        command = ["git", "show", "-s", "--format=%as", commits[0]]
        shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if shown.returncode:
            pytest.skip("not in a clone with the whole history")
        assert shown.stdout.strip() == day, title
