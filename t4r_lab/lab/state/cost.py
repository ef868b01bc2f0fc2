"""Cost estimates of the draft, kept up to date by a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import traitlets as tr

from t4r_lab.base.documents import Document, read_json
from t4r_lab.base.errors import InputError
from t4r_lab.lab.parts.text import count, duration, escape
from t4r_lab.lab.state.background import Background
from t4r_lab.lab.state.draft import Draft
from t4r_lab.spec import RunSpec
from t4r_lab.training.estimate import Estimate, from_json

CACHE_SIZE = 50
"""The most estimates in memory."""
SHORT = "Timed in a few steps on your data, not a training. Bars show where the time goes."
HELP = (
    "Measured, not trained: a separate process builds the model and takes a few steps on your data. Parameters are "
    "exact; memory is weights, gradients, optimizer, activations of a batch and a chunk of logits; time includes the validation."
)


class Unanswered(RuntimeError):
    """The estimating process gave no answer."""


class EstimateProcess:
    """A process that estimates specs, started at the first call. It ends with this one.

    Building the model in the kernel would take its memory, and the timed steps would consume random numbers of
    training code in the notebook.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None

    def __call__(self, spec: RunSpec) -> Estimate:
        """Return the estimate of `spec`.

        Raises
        ------
        InputError
            if the spec doesn't fit the data.
        Unanswered
            for any other failure, such as a model that doesn't fit into memory.
        """
        with self._lock:
            line = self._answer(json.dumps(spec.to_dict()))
        if not line:
            raise Unanswered("its process ended early; the model may not fit into memory: make it smaller")
        answer: Document = read_json(line, "estimate")
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


ask = EstimateProcess()
"""One process serves every Lab of a kernel."""


class CostEstimate(tr.HasTraits):
    """The estimate of a draft: one request at a time, the newest spec next."""

    estimate = tr.Instance(Estimate, allow_none=True)
    doing = tr.Bool(False)
    error = tr.Unicode("")

    def __init__(self, draft: Draft, background: Background, ask: Callable[[RunSpec], Estimate] = ask) -> None:
        super().__init__()
        self.draft, self._background, self._ask = draft, background, ask
        self._answers: dict[str, Estimate] = {}
        self._refused: tuple[str, InputError] | None = None
        """key and error of the spec refused last; requested again after an edit, since files may have been added"""
        self._version = 0
        self._shown = draft.spec.data.path
        """path of the data that `estimate` belongs to"""
        draft.observe(self._update, "revision")
        if draft.valid and Path(draft.spec.data.path).is_dir():
            self._request()  # beside the opening of the data, since the process imports for seconds
        self._update()

    def _update(self, change: tr.Bunch | None = None) -> None:
        """Show the stored estimate of the present spec, else request one; an estimate of other data is cleared."""
        spec, key = self.draft.spec, self._key
        if not self.draft.valid or spec.data.path != self._shown:
            self.error, self.estimate, self._shown = "", self._answers.get(key), spec.data.path
        if self.draft.schema is None or not self.draft.valid:
            return
        if self._refused is not None and key == self._refused[0]:
            self.draft.refuse(self._refused[1])
            return
        self._refused = None
        if key in self._answers:
            self.error, self.estimate = "", self._answers[key]
        elif not self.doing:
            self._request()

    def _request(self) -> None:
        """Ask for the estimate of the present spec."""
        spec, key, self.doing = self.draft.spec, self._key, True
        self._background.run(
            lambda: self._estimate(spec),
            lambda answer: self._done(key, answer),
            lambda error: self._done(key, str(error)),
        )

    def _estimate(self, spec: RunSpec) -> Estimate | InputError | str:
        """Return the estimate, the user's mistake, or the reason of a failure."""
        try:
            return self._ask(spec)
        except InputError as error:
            return error
        except Unanswered as error:
            return str(error)

    def _done(self, key: str, answer: Estimate | InputError | str) -> None:
        self.doing = False
        if isinstance(answer, Estimate):
            while len(self._answers) >= CACHE_SIZE:
                self._answers.pop(next(iter(self._answers)))
            self._answers[key] = answer
        elif isinstance(answer, InputError):
            self._refused = (key, answer)
        elif key == self._key:
            self.error = answer
            return
        self._update()  # the draft may have changed meanwhile

    def forget(self) -> None:
        """Request a new estimate, since data or files have changed."""
        self._version, self.estimate = self._version + 1, None
        self._update()

    @property
    def is_current(self) -> bool:
        """True if `estimate` is that of the present spec."""
        return self.draft.valid and self._answers.get(self._key) is self.estimate

    @property
    def _key(self) -> str:
        return f"{self._version} {_key(self.draft.spec)}"

    @property
    def line(self) -> str:
        """HTML of the line under the picture."""
        text = summary(self.estimate) if self.estimate else ""
        if self.error:
            text = f"no estimate: {self.error}"
        elif self.doing and self.draft.valid:  # a refused spec gets no estimate
            text = f"{text} · estimating …" if text else "estimating parameters, memory and time …"
        if not text:
            return ""
        old = "" if self.is_current else " t4r-stale"
        return (
            f'<div title="{escape(HELP)}"><div class="t4r-estimate{old}" role="status">{escape(text)}</div>'
            f'<div class="t4r-help">{escape(SHORT)}</div></div>'
        )


def _key(spec: RunSpec) -> str:
    """JSON of the fields an estimate depends on: all but the name and the training schedule."""
    content = spec.to_dict()
    for name in ("epochs", "patience", "monitor", "learning_rate", "schedule", "warmup"):
        del content["train"][name]
    return json.dumps({**content, "name": ""})


def summary(estimate: Estimate) -> str:
    """The estimate in one line, such as ``0.35M parameters · 0.2 GB · ~6 s per epoch``."""
    big = estimate.parameters >= 1e5
    size = f"{estimate.parameters / 1e6:.2f}M" if big else count(estimate.parameters)
    memory = f"{estimate.memory / 1e9:.1f} GB" if estimate.memory >= 1e8 else f"{estimate.memory / 1e6:.0f} MB"
    seconds = duration(estimate.seconds) if estimate.seconds >= 1 else "1 s"
    return f"{size} parameters · {memory} · ~{seconds} per epoch"
