"""Pages of the site that are not written in docs/: files of the repository, and the reference from docstrings.

MkDocs calls `on_files` and `on_page_markdown`; the tests read `PAGES` and `REFERENCES`.
"""

from __future__ import annotations

import inspect
import os.path
import re
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""File of the repository → its page."""

REFERENCES = {
    "t4r_lab": "reference/t4r_lab.md",
    "t4r_lab.spec": "reference/spec.md",
    "t4r_lab.data": "reference/data.md",
    "t4r_lab.nn": "reference/nn.md",
}
"""Package → the page of its public names."""

LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")


def link(match: re.Match[str], source: str) -> str:
    """A relative link of the file `source` as the site needs it; a file without a page is named by its path."""
    target = match["target"]
    if not target or "://" in target or target.startswith("mailto:"):
        return match[0]
    path = os.path.normpath(os.path.join(os.path.dirname(source), target))
    if path in PAGES or path.startswith("docs/"):
        page = PAGES.get(path) or path.removeprefix("docs/")
        here = PAGES.get(source) or source.removeprefix("docs/")
        return f"[{match['text']}]({os.path.relpath(page, os.path.dirname(here) or '.')}{match['anchor'] or ''})"
    return match["text"] if path in match["text"] or "`" in match["text"] else f"{match['text']} (`{path}`)"


def to_site(text: str, source: str) -> str:
    """The Markdown of the file `source` with its links as the site needs them."""
    return LINK.sub(lambda match: link(match, source), text)


def where(package: str, name: str) -> tuple[str, str]:
    """Module that defines a public name (the package itself for a plain value), and its docstring's first line."""
    value = getattr(import_module(package), name)
    module = str(getattr(value, "__module__", package))
    if not module.startswith("t4r_lab.") or getattr(import_module(module), name, None) is not value:
        module = package
    return module, (import_module(module).__doc__ or "").partition("\n")[0]


def public_names(package: str) -> dict[str, str]:
    """Name → the module it is taken from: the package for what it exports, else its own for the class of a value."""
    exported = {name: package for name in import_module(package).__all__ if not name.startswith("_")}
    kinds = {type(getattr(import_module(package), name)) for name in exported}
    return {kind.__name__: kind.__module__ for kind in kinds if kind.__module__.startswith("t4r_lab.")} | exported


def reference(package: str) -> str:
    """Markdown of a package's reference: its public names, by the modules that define them."""
    lines = [f"# `{package}`", "", inspect.getdoc(import_module(package)) or ""]
    by_module = sorted(
        ((where(module, name), name) for name, module in public_names(package).items()),
        key=lambda entry: (entry[0][0] == package, entry),
    )
    for (module, summary), entries in groupby(by_module, key=lambda entry: entry[0]):
        title = "Values and unions" if module == package else f"`{module}`"
        lines += ["", f"## {title}", "", "" if module == package else summary]
        lines += [f"\n::: {module}.{name}" for _, name in entries]
    return "\n".join(lines) + "\n"


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pages that are not written in docs/."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=to_site((ROOT / source).read_text(encoding="utf-8"), source)))
    for package, page in REFERENCES.items():
        files.append(File.generated(config, page, content=reference(package)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links of a page of docs/ to files outside of it."""
    generated = {*PAGES.values(), *REFERENCES.values()}
    return markdown if page.file.src_uri in generated else to_site(markdown, f"docs/{page.file.src_uri}")
