"""What systems do differently: everything imports without what Windows lacks, and the dead are told from the living."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from t4r_lab.base import files, system
from tests.support.house import MODULES

POSIX_MODULES = ("fcntl", "pwd", "grp", "resource", "termios", "tty", "pty", "syslog")
POSIX_NAMES = (
    "geteuid",
    "getuid",
    "getgid",
    "fork",
    "setsid",
    "killpg",
    "getpgid",
    "sched_getaffinity",
    "uname",
    "mkfifo",
)
AS_WINDOWS = f"""
import os, sys
import importlib.abc
import filelock, numpy, psutil  # they have a part for each system
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {POSIX_MODULES}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
for name in {POSIX_MODULES}:
    sys.modules.pop(name, None)
for name in {POSIX_NAMES}:
    if hasattr(os, name):
        delattr(os, name)
import t4r_lab, t4r_lab.cli.program
t4r_lab.cli.program.make_parser()
import t4r_lab.jobs, t4r_lab.runs.processes, t4r_lab.base.homes, t4r_lab.base.files, t4r_lab.spec, t4r_lab.cli.output, t4r_lab.base.processors
from t4r_lab.base import files, system
from pathlib import Path
folder = Path(sys.argv[1])
files.write_json(folder / "a.json", [1])
assert not system.is_superuser() and system.exchange is not None
print(sorted(name for name in {POSIX_MODULES} if name in sys.modules), t4r_lab.cli.program.main(["jobs"]))
"""


def test_all_that_is_light_imports_without_what_windows_lacks(tmp_path: Path) -> None:
    environment = {**os.environ, "T4R_LAB_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", AS_WINDOWS, str(tmp_path)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[] 0"


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"base.system"}))
def test_nothing_else_names_what_windows_lacks(name: str) -> None:
    """Where a name may be missing, the line asks for it first."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not {a.name for a in node.names} & set(POSIX_MODULES), f"{name}: into t4r_lab.base.system with it"
        if isinstance(node, ast.ImportFrom):
            assert node.module not in POSIX_MODULES, f"{name}: into t4r_lab.base.system with it"
        if isinstance(node, ast.keyword):
            assert node.arg not in ("preexec_fn", "pass_fds"), f"{name}: into t4r_lab.base.system with it"
        if isinstance(node, ast.Attribute) and node.attr in POSIX_NAMES:
            line = MODULES[name].read_text(encoding="utf-8").splitlines()[node.lineno - 1]
            assert f'hasattr(os, "{node.attr}")' in line, f"{name}: os.{node.attr} is missing on Windows"


def test_a_job_is_refused_where_no_lock_can_be_handed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(system, "WINDOWS", True)
    with (tmp_path / "log").open("wb") as log, pytest.raises(ValueError, match="use WSL, or train in the foreground"):
        system.start_detached([sys.executable], 0, log, {})


# ── the dead and the living ─────────────────────────────────────────────────────────────────────

HOLDS = """
import sys
from pathlib import Path
from t4r_lab.base import files
with files.scratch(Path(sys.argv[1]), "work") as folder:
    (folder / "model").write_text("x" * 1000)
    print("there", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_swept_by_the_next_and_no_other_s(tmp_path: Path) -> None:
    one, other = (
        subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    )
    for process in (one, other):
        assert process.stdout is not None and process.stdout.readline() == b"there\n"
    one.kill()
    one.wait()
    _, pid, began = system.owner().split("-")
    foreign = tmp_path / ".work.abc.deadbeef-1-1.part"  # of another host
    unlike = [tmp_path / n for n in (".work.part", ".work.tmp.part", ".works.abc.x-1-1.part", "work")]
    reused = tmp_path / f".work.abc.{system.owner().split('-')[0]}-{pid}-{int(began) - 100}.part"
    for folder in (foreign, reused, *unlike):
        folder.mkdir()
    assert len(files.left_behind(tmp_path, "work")) == 2  # the killed one's, and one whose number is ours by now
    with files.scratch(tmp_path, "work") as mine:
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
            [
                mine.name,
                foreign.name,
                *(p.name for p in unlike),
                *(p.name for p in tmp_path.glob(f".work.*-{other.pid}-*")),
            ]
        )
        assert len(list(tmp_path.glob(f".work.*-{other.pid}-*"))) == 1
    other.communicate(b"")
    assert not list(tmp_path.glob(f".work.*-{other.pid}-*")) and not mine.exists()


def test_a_file_half_written_by_a_dead_process_goes_with_the_next_write(tmp_path: Path) -> None:
    host = system.owner().partition("-")[0]
    torn = tmp_path / f".a.json.140.{host}-999999999-5.part"
    torn.write_text("[1, 2")
    files.write_json(tmp_path / "a.json", [1], durable=False)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("name", ["a" * 255, "☃" * 85, "a b\n%{}[1]?"])
def test_names_of_any_length_can_be_written(name: str, tmp_path: Path) -> None:
    files.write_json(tmp_path / name, [1])
    with files.scratch(tmp_path, name) as folder:
        assert folder.is_dir()
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_names_are_exchanged_in_one_step_or_not_at_all(tmp_path: Path) -> None:
    one, other = tmp_path / "one ☃", tmp_path / "other"
    one.mkdir()
    (one / "a").touch()
    other.mkdir()
    if system.exchange(one, other):
        assert list(other.iterdir()) == [other / "a"] and not list(one.iterdir())
    with pytest.raises(FileNotFoundError):
        system.exchange(one, tmp_path / "missing")


def test_a_lock_is_held_by_one_and_seen_by_all(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not files.is_locked(path)
    with files.locked(path):
        assert files.is_locked(path)
        with pytest.raises(BlockingIOError), files.locked(path, 0):
            pass
        answers: list[bool] = []
        watchers = [threading.Thread(target=lambda: answers.append(files.is_locked(path))) for _ in range(8)]
        for watcher in watchers:
            watcher.start()
        for watcher in watchers:
            watcher.join()
        assert answers == [True] * 8
    assert not files.is_locked(path)
