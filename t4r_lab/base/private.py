"""All private names of libraries that the package uses, each with a substitute for versions without it.

None has a public equivalent in every supported version. `tests/project/test_private.py` refuses such names elsewhere,
and tests each function with the library's name and without. The caller imports the library.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from torch import Tensor, nn

# ── torch ───────────────────────────────────────────────────────────────────────────────────────

INSTRUCTIONS = {"amx_tile": "_is_amx_tile_supported", "avx512_bf16": "_is_avx512_bf16_supported"}
"""Instructions of a processor, by their names in ``torch.cpu.get_capabilities``, which older versions lack → the
private function that tests for them."""


def has_instructions(cpu: ModuleType, name: str) -> bool:
    """True if the processor has the instructions `name`, one of `INSTRUCTIONS`; `cpu` is ``torch.cpu``."""
    private = getattr(cpu, INSTRUCTIONS[name], None)
    return bool(private() if private else cpu.get_capabilities().get(name, False))


def softmax_backward(grad: Tensor, softmax: Tensor, dim: int) -> Tensor:
    """s ⊙ (g - Σ g ⊙ s), the gradient of a softmax's input by that of its output, in one pass over memory; any shape.

    Without torch's name in several passes.
    """
    import torch

    if hasattr(torch.ops.aten, "_softmax_backward_data"):
        out: Tensor = torch.ops.aten._softmax_backward_data(grad, softmax, dim, softmax.dtype)
        return out
    return softmax * (grad - (grad * softmax).sum(dim, keepdim=True))


def writes(tensor: Tensor) -> float:
    """The number of in-place writes to `tensor`; NaN, which equals no earlier value, without torch's count."""
    return getattr(tensor, "_version", math.nan)


def leave_out_of_ddp(ddp: type[nn.Module], model: nn.Module, names: Iterable[str]) -> None:
    """Exclude the parameters `names` of `model` from the gradient averaging of `ddp`, ``DistributedDataParallel``.

    Without torch's name they are averaged once more, which changes no value but takes time.
    """
    leave_out: Callable[..., None] | None = getattr(ddp, "_set_params_and_buffers_to_ignore_for_model", None)
    if leave_out:
        leave_out(model, list(names))


# ── transformers ────────────────────────────────────────────────────────────────────────────────


def seed_reformer(layer: Any, draw: Callable[[Any, str], None]) -> None:
    """Set the dropout seeds of a Reformer's `layer` by `draw` (layer, name of the attribute).

    Without transformers' names that version draws its seeds itself: then no run can be repeated exactly.
    """
    layer._init_attention_seed = lambda: draw(layer, "attention_seed")
    layer._init_feed_forward_seed = lambda: draw(layer, "feed_forward_seed")


# ── accelerate ──────────────────────────────────────────────────────────────────────────────────


def forget_accelerator(state: Any) -> None:
    """Forget the device and precision of a process, which accelerate keeps in `state`, ``AcceleratorState``.

    Without accelerate's name both stay, and accelerate itself refuses another precision in the same process.
    """
    reset: Callable[..., None] | None = getattr(state, "_reset_state", None)
    if reset:
        reset(reset_partial_state=True)


# ── optuna ──────────────────────────────────────────────────────────────────────────────────────


def trial_id(trial: Any, study: str, storage: Any) -> int:
    """The number of a trial in optuna's `storage`, unique over all studies.

    Without optuna's name it is read from the storage, which may fail on a server.
    """
    if hasattr(trial, "_trial_id"):
        return int(trial._trial_id)
    return int(storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name(study), trial.number))


# ── tqdm ────────────────────────────────────────────────────────────────────────────────────────


def open_bars() -> list[Any]:
    """The progress bars on the terminal; without tqdm's name none, and a line may then be printed behind a bar."""
    tqdm = sys.modules.get("tqdm.std")
    return list(getattr(tqdm.tqdm, "_instances", ())) if tqdm else []


# ── argparse ────────────────────────────────────────────────────────────────────────────────────


def long_options(parser: ArgumentParser) -> list[str]:
    """The options ``--…`` of a parser; none for one of commands, whose options follow the command.

    Without argparse's names none: an unknown option is then refused without a suggestion.
    """
    if getattr(parser, "_subparsers", None) is not None:
        return []
    options = [option for action in getattr(parser, "_actions", ()) for option in action.option_strings]
    return [option for option in options if option.startswith("--")]
