"""How near a training step is to what the machine can do; see limit.py.

Argument: a JSON object as `make_job` in scale.py writes it, with ``counted``, the steps whose products are recorded.
Prints one JSON object as its last line.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from _steps_worker import WARM, Training
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import flop_registry

from t4r_lab.nn.kernels.linear_cross_entropy import rows_per_chunk

ENOUGH = 0.02
"""Seconds for which one operation is repeated."""

aten = torch.ops.aten
ALIKE = {
    aten.addmm_: aten.addmm,
    aten.baddbmm_: aten.baddbmm,
    aten._scaled_dot_product_flash_attention_for_cpu: aten._scaled_dot_product_flash_attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: aten._scaled_dot_product_flash_attention_backward,
}
"""Operators that torch's table of FLOPs lacks → one in it with the same operands."""


class Operand(NamedTuple):
    """What a tensor was like."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    def make(self) -> torch.Tensor:
        tensor = torch.empty_strided(self.shape, self.stride, dtype=self.dtype)
        if 0 in self.stride:  # one that was expanded: its memory is filled, not its places
            tensor.untyped_storage().fill_(0)
            return tensor
        return tensor.normal_() if self.dtype.is_floating_point else tensor.zero_()


class Products(TorchDispatchMode):
    """Counts the matrix products that run, by operator and operands, and their FLOPs."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self.calls: dict[str, tuple[Any, Any, Any]] = {}
        self.flops = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = op(*args, **kwargs)
        formula = flop_registry.get(ALIKE.get(op._overloadpacket, op._overloadpacket))
        if formula is not None:
            seen = tree_map(_seen, args), tree_map(_seen, kwargs)
            name = f"{op} {seen}"
            self.count[name] += 1
            self.calls[name] = (op, *seen)
            self.flops += formula(*args, **{k: v for k, v in kwargs.items() if k != "out"}, out_val=out)
        return out

    def alone(self) -> float:
        """Seconds of all that was counted, each product timed by itself."""
        total = 0.0
        with torch.no_grad():
            for name, (op, args, kwargs) in self.calls.items():
                args, kwargs = (tree_map(_made, each, is_leaf=_is_operand) for each in (args, kwargs))
                total += self.count[name] * seconds(lambda op=op, args=args, kwargs=kwargs: op(*args, **kwargs))
        return total


def _seen(value: Any) -> Any:
    return Operand(tuple(value.shape), value.stride(), value.dtype) if isinstance(value, torch.Tensor) else value


def _is_operand(value: Any) -> bool:
    return isinstance(value, Operand)


def _made(value: Any) -> Any:
    return value.make() if isinstance(value, Operand) else value


def seconds(work: Callable[[], Any]) -> float:
    """Median time of `work`, warmed up."""
    work()
    times: list[float] = []
    while sum(times) < ENOUGH or len(times) < 3:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def copy_rate(size: float) -> float:
    """Bytes read and written per second by copies of `size` bytes."""
    source = torch.randn(max(int(size) // 4, 1))
    target = torch.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: target.copy_(source))


def main() -> None:
    job = json.loads(sys.argv[1])
    training = Training(job)
    list(training.steps(WARM))
    taken = list(training.steps(job["steps"]))
    with Products() as products:
        targets = sum(targets for *_, targets in training.steps(job["counted"])) / job["counted"]
    alone, flops = products.alone() / job["counted"], products.flops / job["counted"]
    chunk = 4 * min(rows_per_chunk(job["items"]), targets) * job["items"]
    weights = 4 * training.parameters
    # AdamW reads four arrays and writes three, behind a gradient written; the softmax reads and writes each logit.
    moving = 8 * weights / copy_rate(weights) + 2 * 4 * targets * job["items"] / copy_rate(chunk)
    step = statistics.median(step for _, step, *_ in taken)
    print(
        json.dumps(
            {
                "step_seconds": step,
                "products_seconds": alone,
                "moving_seconds": moving,
                "limit_share": (alone + moving) / step,
                "gflop": flops / 1e9,
                "gflop_per_second": flops / alone / 1e9,
                "data_share": sum(data for data, *_ in taken) / sum(data + step for data, step, *_ in taken),
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
