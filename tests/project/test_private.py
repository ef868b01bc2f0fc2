"""Private names of libraries stand in one module, and what stands in for each does its work."""

from __future__ import annotations

import argparse
import ast
from functools import cache
from types import SimpleNamespace

import optuna
import pytest
import torch
from tqdm.std import tqdm

from t4r_lab.base import private
from t4r_lab.spec import BPR
from tests.support.house import MODULES

HOME = "base.private"
PUBLIC = {"_replace", "_asdict", "_fields", "_make", "_field_defaults", "_repr_mimebundle_"}
"""Public in spite of the underscore: the methods of a named tuple, and of IPython's protocol of display."""
OUR_ATTRIBUTES = {"self", "cls"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name.strip("_") != ""


def defined(tree: ast.AST) -> set[str]:
    """Private names that a module makes: its functions, classes, attributes, fields and variables."""
    nodes = list(ast.walk(tree))
    names = {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    names |= {n.attr for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    return names | {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def foreign(tree: ast.AST, ours: set[str]) -> set[str]:
    """Private names of others that a module reads, writes, imports, or names in text; `ours` are the package's."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in PUBLIC:
            of_self = isinstance(node.value, ast.Name) and node.value.id in OUR_ATTRIBUTES
            names |= set() if of_self and node.attr in ours else {ast.unparse(node)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if any(map(is_private, alias.name.split(".")))}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = any(map(is_private, node.module.split(".")))
            names |= {f"{node.module}.{alias.name}" for alias in node.names if inside or is_private(alias.name)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr", "delattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant) and is_private(str(name.value)) and name.value not in ours:
                names.add(str(name.value))
    return names


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


@cache
def ours() -> set[str]:
    return set().union(*(defined(tree(name)) for name in MODULES))


@pytest.mark.parametrize("name", [name for name in MODULES if name != HOME])
def test_private_names_of_libraries_stand_in_one_module(name: str) -> None:
    assert not foreign(tree(name), ours()), f"put it into t4r_lab/{HOME.replace('.', '/')}.py"


@pytest.mark.parametrize(
    "code",
    [
        "torch._foreach_mul_(values, 2)",
        "layer._seed = 3",
        "import torch._dynamo",
        "from torch._dynamo import reset",
        "from optuna.storages import _heartbeat",
        "getattr(bars, '_instances', ())",
        "self._parameters.clear()",
    ],
)
def test_the_search_finds_them(code: str) -> None:
    assert foreign(ast.parse(code), {"_made", "_loss"})
    assert not foreign(
        ast.parse("self._made = seen._replace(data=__name__)\ngetattr(self, '_loss')"), {"_made", "_loss"}
    )


@pytest.mark.parametrize("name", private.INSTRUCTIONS)
def test_instructions_are_those_that_torch_tells_of(name: str) -> None:
    supported = private.has_instructions(torch.cpu, name)
    assert supported == getattr(torch.cpu, private.INSTRUCTIONS[name])()
    for answer in (True, False):
        newer = SimpleNamespace(get_capabilities=lambda answer=answer: {name: answer})
        assert private.has_instructions(newer, name) == answer  # type: ignore[arg-type]
    assert not private.has_instructions(SimpleNamespace(get_capabilities=dict), name)  # type: ignore[arg-type]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("dim", [1, 2])
def test_the_gradient_of_a_softmax_is_autograds(dim: int, named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not named:
        monkeypatch.setattr(torch.ops, "aten", SimpleNamespace())
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64).requires_grad_()
    grad = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    shares = scores.softmax(dim)
    (expected,) = torch.autograd.grad(shares, scores, grad)
    torch.testing.assert_close(private.softmax_backward(grad, shares.detach(), dim), expected)


def test_a_write_is_told_and_where_it_is_not_a_sampler_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = torch.zeros(3)
    before = private.writes(tensor)
    assert private.writes(tensor) == before
    tensor.add_(1)
    assert private.writes(tensor) != before
    untold = SimpleNamespace()
    assert private.writes(untold) != private.writes(untold)  # type: ignore[arg-type]
    loss = BPR(negatives=4, sampler="log_uniform").build(12)
    monkeypatch.setattr("t4r_lab.nn.losses.sampled.writes", lambda counts: private.writes(untold))  # type: ignore[arg-type]
    assert loss._sampler() is not loss._sampler()


def test_parameters_are_left_out_where_torch_can() -> None:
    from torch.nn.parallel import DistributedDataParallel

    model = torch.nn.Linear(2, 2)
    private.leave_out_of_ddp(DistributedDataParallel, model, ["bias"])
    assert model._ddp_params_and_buffers_to_ignore == ["bias"]
    private.leave_out_of_ddp(torch.nn.Linear, model, ["weight"])  # which has no such name
    assert model._ddp_params_and_buffers_to_ignore == ["bias"]


def test_a_reformer_repeats_its_training_by_torchs_seed() -> None:
    from t4r_lab.nn import ReformerConfig
    from t4r_lab.nn.bodies.transformers import make_transformer

    config = ReformerConfig.build(d_model=16, n_head=2, n_layer=2, total_seq_length=8, dropout=0.5)
    model = make_transformer(config)[0].train()
    hidden, outputs = torch.ones(2, 8, 16), []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        outputs.append(model(inputs_embeds=hidden).last_hidden_state)
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])


def test_accelerate_forgets_its_first_precision() -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, is_initialized

    Accelerator(cpu=True)
    private.forget_accelerator(SimpleNamespace())  # a version without the name
    assert is_initialized()
    private.forget_accelerator(AcceleratorState)
    assert not is_initialized()


def test_a_trial_has_its_number_in_the_storage() -> None:
    storage = optuna.storages.InMemoryStorage()
    for name in ("a", "b"):
        study = optuna.create_study(storage=storage, study_name=name)
        trials = [study.ask(), study.ask()]
    for trial in (*trials, *study.get_trials()):
        unnamed = SimpleNamespace(number=trial.number)
        id = private.trial_id(trial, "b", storage)
        assert id == private.trial_id(unnamed, "b", storage)
        assert storage.get_trial(id).number == trial.number and id == trial.number + 2


def test_bars_are_those_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    bar = tqdm(total=2, disable=False)
    assert bar in private.open_bars()
    bar.close()
    assert bar not in private.open_bars()
    monkeypatch.setitem(private.sys.modules, "tqdm.std", SimpleNamespace(tqdm=object))  # type: ignore[attr-defined]
    assert private.open_bars() == []


def test_options_are_those_of_a_parser_without_commands() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", "--out")
    assert private.long_options(parser) == ["--help", "--out"]
    parser.add_subparsers()
    assert private.long_options(parser) == []
    assert private.long_options(SimpleNamespace()) == []  # type: ignore[arg-type]
