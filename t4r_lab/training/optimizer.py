"""AdamW with its schedule; clipping, joining and a lazy step that also support sparse gradients."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from t4r_lab.spec import TrainSpec

if TYPE_CHECKING:
    from accelerate import Accelerator


def make_optimizer(model: torch.nn.Module, train: TrainSpec) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices only, not on biases and norms (Loshchilov & Hutter, 2019)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": train.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return LazyAdamW(groups, lr=train.learning_rate, fused=True)


def rate_factor(train: TrainSpec, total: int) -> Callable[[int], float]:
    """The learning rate of a step as a share of its peak: linear warm-up, then the schedule's fall to 0."""
    warm_up = round(train.warmup * total)

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / (warm_up + 1)
        done = (step - warm_up) / max(total - warm_up, 1)
        return {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[train.schedule]

    return factor


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group of parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def _plain(method: str) -> Any:
    """AdamW's `method` without torch's wrapper, which would import the compiler: 2 s, and nothing is compiled here."""
    return inspect.unwrap(getattr(torch.optim.AdamW, method))


class LazyAdamW(torch.optim.AdamW):
    """AdamW that updates, of a table with a sparse gradient, only the rows of that gradient.

    These rows take AdamW's step and weight decay, with bias correction by the steps of the whole table; other rows and
    their averages are unchanged, as in `torch.optim.SparseAdam`. (AdamW itself would move every row by its old
    gradients, and decay it, at every step.) If every row has a gradient, both are the same.
    """

    add_param_group, zero_grad = _plain("add_param_group"), _plain("zero_grad")
    state_dict, load_state_dict = _plain("state_dict"), _plain("load_state_dict")

    @torch.no_grad()
    def step(self, closure: object = None) -> Any:
        """One step: of tables with a sparse gradient the rows of it, all other parameters as AdamW does."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None and table.grad.is_sparse:
                    _step_rows(table, table.grad.coalesce(), self.state[table], group)
                    table.grad = None
        return _plain("step")(self, closure)


def _step_rows(table: Tensor, grad: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
    """AdamW's step for the rows of `grad`, a coalesced gradient of `table` (R, …); `state` is as AdamW keeps it."""
    if not state:
        state["step"] = torch.zeros((), device=table.device)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(table), torch.zeros_like(table)
    state["step"] += 1
    (rows,), values = grad.indices(), grad.values()
    decay, decay_sq = group["betas"]
    mean = state["exp_avg"][rows].lerp_(values, 1 - decay)
    square = state["exp_avg_sq"][rows].mul_(decay_sq).addcmul_(values, values, value=1 - decay_sq)
    state["exp_avg"][rows], state["exp_avg_sq"][rows] = mean, square
    # 1 - β^step by expm1: in float32 the difference would be off by 1e-4 at first
    correction, correction_sq = (-torch.expm1(state["step"] * math.log(beta)) for beta in (decay, decay_sq))
    denominator = (square / correction_sq).sqrt_().add_(group["eps"])
    step = mean.div_(correction).div_(denominator).mul_(group["lr"])
    table[rows] = table[rows].mul_(1 - group["lr"] * group["weight_decay"]).sub_(step)


def join_rows(accelerator: Accelerator, parameters: Iterable[Tensor]) -> None:
    """Make sparse gradients the mean over all processes, as dense ones are already."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            grad = parameter.grad.coalesce()
            padded = (grad.indices()[0], -1), (grad.values(), 0.0)
            rows, values = (accelerator.gather(accelerator.pad_across_processes(t, pad_index=p)) for t, p in padded)
            values = values[rows >= 0] / accelerator.num_processes
            parameter.grad = torch.sparse_coo_tensor(rows[rows >= 0][None], values, grad.shape, check_invariants=False)


def clip_gradients(accelerator: Accelerator, parameters: Iterable[Tensor], largest: float) -> None:
    """Scale all gradients by one factor if their common norm is above `largest`."""
    accelerator.unscale_gradients()
    gradients = []
    for parameter in parameters:
        if parameter.grad is not None:
            if parameter.grad.is_sparse:
                parameter.grad = parameter.grad.coalesce()
            gradients.append(parameter.grad.values() if parameter.grad.is_sparse else parameter.grad)
    norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
    factor = largest / (torch.linalg.vector_norm(norms) + 1e-6)
    if factor.device.type == "cpu" and factor >= 1:  # on an accelerator, reading the factor would wait for it
        return
    for gradient in gradients:
        gradient.mul_(factor.clamp(max=1.0))
