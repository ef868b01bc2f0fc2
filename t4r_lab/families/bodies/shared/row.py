"""The row of a body in the table, and the configuration of a transformer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from t4r_lab.base.errors import InputError
from t4r_lab.families.bodies.shared.layer_knobs import AttentionLayers, Layers, check_heads

if TYPE_CHECKING:
    from torch import Tensor, nn

CAUSAL, BOTH_WAYS = ("clm",), ("mlm", "rtd")
EITHER = (*CAUSAL, *BOTH_WAYS)


@dataclass(frozen=True)
class Sizes:
    """The sizes of a transformer that a user chooses, whatever its kind."""

    d_model: int
    n_head: int
    n_layer: int
    total_seq_length: int
    dropout: float
    activation: str
    initializer_range: float

    @property
    def d_gated(self) -> int:
        """Width of a gated feed-forward layer with as many weights as a plain one of 4·d_model (Shazeer, 2020)."""
        return 8 * self.d_model // 3


@dataclass(frozen=True)
class Configuration:
    """The configuration of a transformer; `make` turns sizes into the object that its model is built from.

    The item embedding lives in the input block, so the word embedding of a model is made with the one row it must
    have.
    """

    name: str
    """in `t4r_lab.nn`"""
    knobs: type[AttentionLayers]
    make: Callable[[Sizes], object]

    def __post_init__(self) -> None:
        """Name the file of its body as its module, by which documentation finds it."""
        object.__setattr__(self, "__module__", self.make.__module__)

    def build(
        self,
        d_model: int,
        n_head: int,
        n_layer: int,
        total_seq_length: int,
        dropout: float | None = None,
        activation: str | None = None,
        initializer_range: float | None = None,
    ) -> Any:
        """A configuration for sessions of up to `total_seq_length` events, which `TransformerBlock` takes.

        Every argument reaches the model; None is the default of the body's knob. `dropout` acts wherever the model
        has dropout; Llama and Qwen have it on attention weights alone.

        Raises
        ------
        InputError
            for a dropout that is no probability, or heads that don't divide the width.
        """
        arguments: dict[str, Any] = {
            "dropout": dropout,
            "activation": activation,
            "initializer_range": initializer_range,
        }
        fields = self.knobs.model_fields
        chosen = {name: fields[name].get_default() if value is None else value for name, value in arguments.items()}
        if not 0 <= chosen["dropout"] <= 1:
            raise InputError("dropout", f"{dropout} is outside of [0, 1]", "use for example 0.1")
        check_heads(n_head, d_model)
        return self.make(Sizes(d_model, n_head, n_layer, total_seq_length, **chosen))


def _never(model: object) -> bool:
    return False


class ForwardPass(NamedTuple):
    """The forward pass of a model: `hidden` (B, T, D) to (B, T, D) with padding masked, from both sides or, where
    causal, from earlier events."""

    padded: Callable[[Any, Tensor, Tensor, bool], Tensor]
    """(model, hidden, valid (B, T), causal)"""
    packs: Callable[[Any], bool] = _never
    """whether a model reads real events alone, so that nothing is gained by grouping sessions of like length"""
    packed: Callable[[Any, Tensor, Tensor, bool, Tensor | None], Tensor] | None = None
    """(model, hidden, lengths (B,), causal, predict), of a model that `packs`: what stands where `predict` (B, T) is
    False means nothing"""


class Transformer(NamedTuple):
    """The means by which `TransformerBlock` builds and runs a model."""

    configuration: Configuration
    model: Callable[[Any], nn.Module]
    """the model of a configuration"""
    reading: ForwardPass
    unused: tuple[str, ...] = ()
    """ends of the names of parameters that get no gradient: the word embedding gives way to the input block"""


class Body(NamedTuple):
    """The row of a body."""

    knobs: type[Layers]
    maskings: tuple[str, ...]
    """that train it, the usual one first"""
    build: Callable[[Any, int], Any]
    """(knobs, events of a session) → a block, or the configuration of `transformer`.

    A block is a module (B, T, d_model) → (B, T, d_model). Given attributes `kind` and `maskings` it
    is called as ``block(hidden, masked, last)``, with a `Masked` and whether no block follows; else with `hidden`.
    """
    transformer: Transformer | None = None
    code: Callable[[Any], tuple[str, list[object]]] | None = None
    """knobs → a name of `t4r_lab.nn` and its arguments, which build the same block in a script"""
    one_process: str = ""
    """where several processes can't train it, what to use instead"""

    @property
    def kind(self) -> str:
        """The word for it in a spec."""
        return str(self.knobs.model_fields["kind"].default)

    @property
    def summary(self) -> str:
        """One line on how it is built, for tables."""
        maker = self.build if self.transformer is None else self.transformer.configuration.make
        return (maker.__doc__ or "").strip().partition("\n")[0].removesuffix(".")

    @property
    def exports(self) -> str:
        """The name in `t4r_lab.nn` that it is made by; "" where it has none."""
        if self.transformer is not None:
            return self.transformer.configuration.name
        return self.code(self.knobs.model_validate({}))[0] if self.code else ""


def transformer_body(
    configuration: Configuration,
    maskings: tuple[str, ...],
    model: Callable[[Any], nn.Module],
    reading: ForwardPass,
    unused: tuple[str, ...] = (),
    one_process: str = "",
) -> Body:
    """The row of a body that a `TransformerBlock` runs."""

    def build(spec: AttentionLayers, length: int) -> object:
        sizes = {field: value for field, value in spec if field != "kind"}
        return configuration.build(total_seq_length=length, **sizes)

    transformer = Transformer(configuration, model, reading, unused)
    return Body(configuration.knobs, maskings, build, transformer, one_process=one_process)
