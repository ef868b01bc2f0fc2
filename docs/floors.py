"""The floors of the house: ``python docs/floors.py`` draws ``docs/images/floors.svg`` and counts for architecture.md.

A room is a folder of the package. It may import from rooms on lower floors of its own wing, and from any room of a
wing that stands lower. `tests/project/test_layers.py` holds the imports, the picture and the figures to this table.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "t4r_lab"
PICTURE = ROOT / "docs" / "images" / "floors.svg"
PAGE = ROOT / "docs" / "architecture.md"
FIGURES = re.compile(r"(<!-- figures of the import graph -->\n).*?(<!-- end -->)", re.DOTALL)

Wing = tuple[tuple[str, ...], ...]
HOUSE: tuple[dict[str, Wing], ...] = (
    {"base": (("base",),)},
    {"schema": (("schema",),)},
    {"nn": (("nn.kernels",), ("nn.layers", "nn.losses"))},
    {
        "families": (
            ("families",),
            ("families.maskings", "families.samplers", "families.encoders"),
            ("families.losses",),
            ("families.bodies.shared",),
            ("families.bodies.hugging_face", "families.bodies.native"),
            ("families.bodies",),
            ("families.metrics.shared",),
            ("families.metrics.kinds",),
            ("families.metrics",),
        )
    },
    {"spec": (("spec",),)},
    {
        "data": (
            ("data.read",),
            ("data.formats",),
            ("data.sessions",),
            ("data.prepared",),
            ("data.pipeline",),
            ("data",),
        )
    },
    {
        "nn": (("nn.metrics",), ("nn",), ("nn.inputs",), ("nn.bodies",), ("nn.heads",)),
        "tracking": (("tracking",),),
    },
    {"baselines": (("baselines",),)},
    {"training": (("training",),)},
    {"pictures": (("pictures",),)},
    {"runs": (("runs.compared",), ("runs.recorded",), ("runs",))},
    {"jobs": (("jobs",),)},
    {"tuning": (("tuning.studies",), ("tuning",))},
    {"removal": (("removal",),)},
    {
        "cli": (("cli",),),
        "lab": (
            ("lab.parts",),
            ("lab.state",),
            ("lab.panels",),
            (
                "lab.panels.data",
                "lab.panels.architecture",
                "lab.panels.train",
                "lab.panels.tune",
                "lab.panels.runs",
                "lab.panels.recommend",
            ),
            ("lab",),
        ),
    },
    {"t4r_lab": (("__init__", "__main__", "runner"),)},
)
"""Floors from the ground up: wing → its own floors, each with its rooms."""


def floor_of() -> dict[str, tuple[int, int]]:
    """Room → the floor of its wing, and its floor within the wing."""
    return {
        room: (floor, inner)
        for floor, wings in enumerate(HOUSE)
        for wing in wings.values()
        for inner, rooms in enumerate(wing)
        for room in rooms
    }


def wing_of() -> dict[str, str]:
    return {room: name for wings in HOUSE for name, wing in wings.items() for rooms in wing for room in rooms}


def modules() -> dict[str, Path]:
    """Dotted name within the package → file."""
    files = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return files


@cache
def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, within functions too; without what only type checkers read."""
    names: set[str] = set()
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= {id(child) for child in ast.walk(node)}
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def module_of(name: str, known: dict[str, Path]) -> str | None:
    """The module of the package that an imported name lies in."""
    if not name.startswith("t4r_lab."):
        return None
    inner = name.removeprefix("t4r_lab.")
    while inner and inner not in known:
        inner = inner.rpartition(".")[0]
    return inner or None


def room_of(module: str, known: dict[str, Path]) -> str:
    """The folder that a module lies in."""
    return module if known[module].name == "__init__.py" else module.rpartition(".")[0] or module


def arrows() -> dict[tuple[str, str], int]:
    """(room, room it imports from) → by how many of its modules."""
    known = modules()
    counts: dict[tuple[str, str], int] = {}
    for module, path in known.items():
        targets = {room_of(m, known) for name in imports(path) if (m := module_of(name, known))}
        for target in targets - {room_of(module, known)}:
            counts[room_of(module, known), target] = counts.get((room_of(module, known), target), 0) + 1
    return counts


def modules_by_room() -> Counter[str]:
    """Room → number of its modules, without its ``__init__``."""
    files = modules()
    return Counter(room_of(module, files) for module, path in files.items() if path.name != "__init__.py")


# ── the figures ─────────────────────────────────────────────────────────────────────────────────


def figures() -> str:
    """The table of the import graph in docs/architecture.md."""
    files, sizes, floor, wing = modules(), modules_by_room(), floor_of(), wing_of()
    folders = {path.parent for path in files.values()}
    pairs = arrows().keys()
    depth = {pair: 2 if wing[pair[0]] == wing[pair[1]] else 1 for pair in pairs}  # floors of a wing count within it
    upward = sum(floor[b][: depth[a, b]] >= floor[a][: depth[a, b]] for a, b in pairs)
    mutual = sum((b, a) in pairs for a, b in pairs) // 2
    rows = (
        ("modules", "170", sizes.total()),
        ("modules in the largest folder", "45", max(sizes.values())),
        ("folders", "7", len(folders)),
        ("floors", "1", len(HOUSE)),
        ("pairs of folders with an import", "284", len(pairs)),
        ("of them upward", "–", upward),
        ("circular pairs", "5", mutual),
    )
    return "| | before the folders | now |\n|---|---|---|\n" + "".join(f"| {a} | {b} | {c} |\n" for a, b, c in rows)


def with_figures(text: str) -> str:
    """The page with the table as it is now."""
    return FIGURES.sub(lambda match: f"{match[1]}{figures()}{match[2]}", text)


# ── the picture ─────────────────────────────────────────────────────────────────────────────────

WIDTH, ROW, GAP, LEFT = 860, 34, 8, 96
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#24292f}.wing{fill:none;stroke:#8c959f}.room{fill:#ddf4ff;stroke:#54aeff}"
    ".name{font-weight:600}.note{fill:#57606a;font-size:11px}"
    "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.room{fill:#0c2d6b;stroke:#388bfd}.note{fill:#8b949e}}"
)


def draw() -> str:
    """The house as SVG, the ground floor at the bottom; in each room the number of its modules and of rooms it uses."""
    sizes = modules_by_room()
    used: dict[str, int] = {}
    for room, _ in arrows():
        used[room] = used.get(room, 0) + 1
    parts: list[str] = []
    y = GAP
    for wings in reversed(HOUSE[:-1]):
        x, height = float(LEFT), 0
        shares = [max(map(len, wing)) for wing in wings.values()]
        for share, wing in zip(shares, wings.values(), strict=True):
            width = (WIDTH - LEFT - GAP * len(wings)) * share / sum(shares)
            floors = [[room for room in rooms if sizes.get(room)] for rooms in reversed(wing)]
            floors = [rooms for rooms in floors if rooms]
            tall = len(floors) * (ROW + GAP) + GAP
            height = max(height, tall)
            if len(floors) > 1:
                parts.append(f'<rect class="wing" x="{x:g}" y="{y}" width="{width:g}" height="{tall}" rx="6"/>')
            for level, rooms in enumerate(floors):
                each = (width - GAP * (len(rooms) + 1)) / len(rooms)
                for column, room in enumerate(rooms):
                    left, top = x + GAP + column * (each + GAP), y + GAP + level * (ROW + GAP)
                    label, uses = room.rpartition(".")[2], used.get(room, 0)
                    count = f"{sizes[room]} module{'s' * (sizes[room] > 1)}"
                    parts.append(
                        f'<rect class="room" x="{left:g}" y="{top}" width="{each:g}" height="{ROW}" rx="4">'
                        f"<title>{escape(room)}: {count}, imports from {uses} rooms</title></rect>"
                        f'<text class="name" x="{left + 8:g}" y="{top + 15}">{escape(label)}</text>'
                        f'<text class="note" x="{left + 8:g}" y="{top + 28}">{count}</text>'
                    )
            x += width + GAP
        parts.append(f'<text class="note" x="{GAP}" y="{y + height / 2 + 4:g}">{escape(" · ".join(wings))}</text>')
        y += height + GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" role="img" '
        'aria-label="The floors of the package: each may import only from what stands below it"><style>'
    )
    lines = "\n".join(parts)  # a line an element, so that two changes of it can be merged
    return f"{head}{STYLE}</style>\n{lines}\n</svg>\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    PAGE.write_text(with_figures(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
