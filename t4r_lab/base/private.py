"""Private names of libraries, all that the package uses, and what stands in for each once a version drops it.

None has a public equal in every version that the package runs with. `tests/project/test_private.py` refuses such names
elsewhere, and tries each with the library's name and without. Libraries are imported by who calls.
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
function that tells of them there."""


def has_instructions(cpu: ModuleType, name: str) -> bool:
    """Whether the processor has the instructions `name`, one of `INSTRUCTIONS`; `cpu` is ``torch.cpu``."""
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
    """How often `tensor` was written to in place; without torch's count NaN, which is never what it was before."""
    return getattr(tensor, "_version", math.nan)


def leave_out_of_ddp(ddp: type[nn.Module], model: nn.Module, names: Iterable[str]) -> None:
    """Have `ddp`, ``DistributedDataParallel``, not join the gradients of the parameters `names` of `model`.

    Without torch's name it joins them as well: joined again, the mean over processes is the same, only later.
    """
    leave_out: Callable[..., None] | None = getattr(ddp, "_set_params_and_buffers_to_ignore_for_model", None)
    if leave_out:
        leave_out(model, list(names))


# ── transformers ────────────────────────────────────────────────────────────────────────────────


def seed_reformer(layer: Any, draw: Callable[[Any, str], None]) -> None:
    """Have `draw` (layer, name of the attribute) set the seeds of the dropout of a Reformer's `layer`.

    Without transformers' names a seed comes from where that version takes it: then no run can be repeated exactly.
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
    """The number of a trial in `storage`, optuna's, over all studies; without optuna's name asked of the storage, which
    may fail where it is a server."""
    if hasattr(trial, "_trial_id"):
        return int(trial._trial_id)
    return int(storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name(study), trial.number))


# ── tqdm ────────────────────────────────────────────────────────────────────────────────────────


def open_bars() -> list[Any]:
    """The progress bars on the terminal; without tqdm's name none is known, and a line may follow one's end."""
    tqdm = sys.modules.get("tqdm.std")
    return list(getattr(tqdm.tqdm, "_instances", ())) if tqdm else []


# ── argparse ────────────────────────────────────────────────────────────────────────────────────


def long_options(parser: ArgumentParser) -> list[str]:
    """The options ``--…`` of a parser; none for one of commands, whose options follow the command.

    Without argparse's names none: it refuses an unknown option then, without the nearest one.
    """
    if getattr(parser, "_subparsers", None) is not None:
        return []
    options = [option for action in getattr(parser, "_actions", ()) for option in action.option_strings]
    return [option for option in options if option.startswith("--")]
