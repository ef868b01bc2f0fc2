"""Device, precision and processes of a training: their accelerator, and the refusals of what they can't compute."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import torch
from torch.nn.parallel import DistributedDataParallel

from t4r_lab.base.errors import InputError
from t4r_lab.base.private import forget_accelerator, leave_out_of_ddp
from t4r_lab.base.processors import threads
from t4r_lab.spec import BODIES, TrainSpec

if TYPE_CHECKING:
    from accelerate import Accelerator

    from t4r_lab.nn.heads.model import Model


def check_processes(bodies: Collection[str], processes: int) -> None:
    """Refuse bodies that several processes can't train; kinds outside the family are not refused."""
    for kind in sorted(set(bodies) & set(BODIES)) if processes > 1 else ():
        if remedy := BODIES[kind].one_process:
            raise InputError(
                "model.body.kind", f"{kind} can't be trained in several processes", f"start one alone, or {remedy}"
            )


def check_precision(train: TrainSpec) -> None:
    """Refuse a precision that the device lacks."""
    if train.precision == "float16" and _on_cpu(train):
        raise InputError("train.precision", "float16 needs an accelerator", "use float32 or bfloat16")


def _on_cpu(train: TrainSpec) -> bool:
    return train.device == "cpu" or not torch.accelerator.is_available()


def make_accelerator(train: TrainSpec) -> Accelerator:
    """The `accelerate.Accelerator` of device, precision and processes."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState, is_initialized

    check_precision(train)
    precision = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[train.precision]
    if is_initialized() and PartialState().num_processes == 1:
        # accelerate keeps the first precision and device of a process; a notebook trains many runs in one
        forget_accelerator(AcceleratorState)
    torch.set_num_threads(min(torch.get_num_threads(), threads()))
    return Accelerator(cpu=_on_cpu(train), mixed_precision=precision)


def put_on(
    accelerator: Accelerator, model: Model, optimizer: torch.optim.Optimizer
) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """Model and optimizer on the device of `accelerator`, joined with those of other processes.

    Tables with sparse gradients are left to `optimizer.join_rows`.
    """
    leave_out_of_ddp(DistributedDataParallel, model, model.lazy)
    # with explicit placements, accelerate doesn't import torch's distributed tensors, which takes .5 s
    prepared: tuple[torch.nn.Module, torch.optim.Optimizer] = accelerator.prepare(
        model, optimizer, device_placement=[True, True]
    )
    return prepared


def any_process(accelerator: Accelerator, *flags: bool) -> list[bool]:
    """True for each of `flags` that is set in any process, so that all processes take the same decision."""
    if accelerator.num_processes == 1:
        return list(flags)
    counts = accelerator.reduce(torch.tensor(flags, dtype=torch.long, device=accelerator.device), "sum")
    return [bool(count) for count in counts.tolist()]
