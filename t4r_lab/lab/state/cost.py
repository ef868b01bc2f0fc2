"""What the draft costs, kept up to date by a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import traitlets as tr

from t4r_lab.base.documents import read_json
from t4r_lab.base.errors import InputError
from t4r_lab.lab.parts.text import count, duration, escape
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.draft import Draft
from t4r_lab.spec import RunSpec
from t4r_lab.training.estimate import Estimate, from_json

KEPT = 50
"""Answers that are remembered."""
SHORT = "Timed in a few steps on your data, not a training. Bars show where the memory goes."
HELP = (
    "Measured, not trained: a process of its own builds the model and takes a few steps on your data. Parameters are "
    "exact; memory is weights, gradients, optimizer, activations of a batch and a chunk of logits; time includes the validation."
)


class Unanswered(RuntimeError):
    """The process that estimates gave no answer."""


class Asking:
    """A process that estimates specs, started when first asked. It ends with this one.

    A model that is built here would take the kernel's memory, and its steps the random numbers of whatever trains in
    the notebook.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None

    def __call__(self, spec: RunSpec) -> Estimate:
        """The estimate of `spec`.

        Raises
        ------
        InputError
            for what the data don't fit.
        Unanswered
            for anything else, such as a model that doesn't fit into memory.
        """
        with self._lock:
            line = self._answer(json.dumps(spec.to_dict()))
        if not line:
            raise Unanswered("its process ended early, so the model may not fit into memory; make it smaller")
        answer: dict[str, Any] = read_json(line, "estimate")
        if "error" in answer:
            raise InputError(*answer["error"])
        if "failed" in answer:
            raise Unanswered(answer["failed"])
        return from_json(answer)

    def _answer(self, question: str) -> str:
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "t4r_lab.training.estimate"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
        child = self._child
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(question + "\n")
            child.stdin.flush()
            return child.stdout.readline()
        except OSError:
            return ""


ask = Asking()
"""One process serves every Lab of a kernel."""


class Estimating(tr.HasTraits):
    """The estimate of a draft: one question at a time, and the newest spec next."""

    found = tr.Instance(Estimate, allow_none=True)
    doing = tr.Bool(False)
    error = tr.Unicode("")

    def __init__(self, draft: Draft, background: Background, ask: Callable[[RunSpec], Estimate] = ask) -> None:
        super().__init__()
        self.draft, self._background, self._ask = draft, background, ask
        self._known: dict[str, Estimate] = {}
        self._refused: tuple[str, InputError] | None = None
        """the key that was refused last, and why; asked again after an edit, since files may have come"""
        self._round = 0
        self._shown = draft.spec.data.path
        """the data that `found` is of"""
        draft.observe(self._look, "revision")
        self._look()

    def _look(self, change: Any = None) -> None:
        """Take up what is known of the present spec, else ask for it; of other data nothing is shown."""
        spec, key = self.draft.spec, self._key
        if not self.draft.valid or spec.data.path != self._shown:
            self.error, self.found, self._shown = "", self._known.get(key), spec.data.path
        if self.draft.schema is None or not self.draft.valid:
            return
        if self._refused is not None and key == self._refused[0]:
            self.draft.refuse(self._refused[1])
            return
        self._refused = None
        if key in self._known:
            self.error, self.found = "", self._known[key]
        elif not self.doing:
            self.doing = True
            self._background.run(
                lambda: self._try(spec),
                lambda answer: self._done(key, answer),
                lambda error: self._done(key, str(error)),
            )

    def _try(self, spec: RunSpec) -> Estimate | InputError | str:
        """The estimate, the user's mistake, or why there is none."""
        try:
            return self._ask(spec)
        except InputError as error:
            return error
        except Unanswered as error:
            return str(error)

    def _done(self, key: str, answer: Estimate | InputError | str) -> None:
        self.doing = False
        if isinstance(answer, Estimate):
            while len(self._known) >= KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[key] = answer
        elif isinstance(answer, InputError):
            self._refused = (key, answer)
        elif key == self._key:
            self.error = answer
            return
        self._look()  # the draft may have changed meanwhile

    def forget(self) -> None:
        """Ask again, since data or files are others than they were."""
        self._round, self.found = self._round + 1, None
        self._look()

    @property
    def _key(self) -> str:
        return f"{self._round} {_key(self.draft.spec)}"

    @property
    def line(self) -> str:
        """HTML of one line under the picture."""
        text = summary(self.found) if self.found else ""
        if self.error:
            text = f"no estimate: {self.error}"
        elif self.doing and self.draft.valid:  # of what is refused there is no estimate to come
            text = f"{text} · estimating …" if text else "estimating parameters, memory and time …"
        if not text:
            return ""
        return (
            f'<div title="{escape(HELP)}"><div class="t4r-estimate" role="status">{escape(text)}</div>'
            f'<div class="t4r-help">{escape(SHORT)}</div></div>'
        )


def _key(spec: RunSpec) -> str:
    """What an estimate depends on: all but the name, and how long is trained."""
    content = spec.to_dict()
    for name in ("epochs", "patience", "monitor", "learning_rate", "schedule", "warmup"):
        del content["train"][name]
    return json.dumps({**content, "name": ""})


def summary(found: Estimate) -> str:
    """Such as ``0.35M parameters · 0.2 GB · ~6 s per epoch``."""
    big = found.parameters >= 1e5
    size = f"{found.parameters / 1e6:.2f}M" if big else count(found.parameters)
    memory = f"{found.memory / 1e9:.1f} GB" if found.memory >= 1e8 else f"{found.memory / 1e6:.0f} MB"
    seconds = duration(found.seconds) if found.seconds >= 1 else "1 s"
    return f"{size} parameters · {memory} · ~{seconds} per epoch"
