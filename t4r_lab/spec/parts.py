"""The parts of a run: data, model, training, evaluation. Every knob is defined here and only here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from t4r_lab.errors import InputError
from t4r_lab.spec.knobs import Part, knob

# ── Data ────────────────────────────────────────────────────────────────────────────────────────


class DataSpec(Part):
    """Which prepared data, and how much of each session is read."""

    path: str = Field(description="folder written by `t4r-lab prepare`")
    max_length: int = knob(
        20, "events of a session the model reads; the newest are kept", low=2, high=1024, search=(10, 50)
    )


# ── Inputs ──────────────────────────────────────────────────────────────────────────────────────

Aggregation = Literal["concat", "element-wise-sum", "element-wise-sum-item-multi"]
Encoding = Literal["embedding", "scalar", "projected", "soft_one_hot"]


class VectorsSpec(Part):
    """Vectors made elsewhere, of a text or image model for example: one for each item, or each value of a column."""

    path: str = Field(
        description=".parquet with a column of the user's own ids and a column of lists, or .npy with a row per id"
    )
    trainable: bool = knob(False, "train the vectors too; otherwise they stay as given")
    normalization: Literal["none", "l2", "standardize"] = knob(
        "none", "of the given vectors. l2: each of length 1; standardize: each dimension to mean 0 and deviation 1"
    )
    missing: Literal["refuse", "zero"] = knob("refuse", "ids without a vector: refuse them, or give them zeros")


class FeatureSpec(Part):
    """How one column enters the model. A feature with `vectors` may have any name: it belongs to the item."""

    encoding: Encoding | None = knob(
        None, "categorical: embedding; continuous: scalar, projected or soft_one_hot. Empty: by the column's kind"
    )
    dim: int | None = knob(
        None, "width of the feature; empty: from its cardinality, the item as wide as the body", low=1, high=2048
    )
    bins: int = knob(10, "soft one-hot: number of embeddings that are mixed", low=2, high=1000)
    table: str | None = knob(None, "categorical: columns that name the same embedding table share it; empty: its own")
    vectors: VectorsSpec | None = Field(
        None, description="of a column: where its embedding starts; under a new name: pre-trained vectors of the items"
    )


class InputsSpec(Part):
    """Feature aggregation: which columns, how encoded, how joined."""

    features: dict[str, FeatureSpec] | None = Field(
        None, description="columns by name; empty: every feature of the schema with its default encoding"
    )
    aggregation: Aggregation = knob("concat", "how the features of one event become one vector")
    continuous_projection: int | None = knob(
        None,
        "width to which one layer projects all continuous columns together, but those with an encoding of their own; "
        "empty: each by itself",
        low=1,
        high=2048,
    )
    layer_norm: bool = knob(False, "layer norm of each embedded or projected feature before aggregation")
    dropout: float = knob(0.0, "dropout on the aggregated vector", low=0, high=0.95, search=(0, 0.5))
    shared_embeddings: float = knob(
        0.0,
        "stochastic shared embeddings (Wu et al., 2019): chance in training that an id is swapped for any other one",
        low=0,
        high=1,
        search=(0, 0.1),
    )
    swap_noise: float = knob(
        0.0,
        "stochastic swap noise: chance in training that a value is that of another event of the batch",
        low=0,
        high=1,
        search=(0, 0.3),
    )
    swap: Literal["feature", "event"] = knob("feature", "swap noise takes single values, or an event with all of them")
    init_std: float = knob(0.05, "standard deviation of the initial embeddings", low=1e-4, high=1, search=(0.01, 0.15))


# ── Masking ─────────────────────────────────────────────────────────────────────────────────────


class CLM(Part):
    """Causal: each position predicts the next item from those before."""

    kind: Literal["clm"] = "clm"
    predict: Literal["all", "last"] = knob("all", "train on every next item of a session, or on its last only")


class MLM(Part):
    """Masked: hidden items are predicted from both sides."""

    kind: Literal["mlm"] = "mlm"
    probability: float = knob(0.2, "share of the positions hidden in training", low=0.01, high=0.99, search=(0.05, 0.7))


class PLM(Part):
    """Permutation: chosen events are predicted in a random order, each from those before it in that order."""

    kind: Literal["plm"] = "plm"
    probability: float = knob(
        0.2, "share of the positions predicted in training; 0: one a session", low=0, high=1, search=(0, 0.7)
    )
    max_span_length: int = knob(
        5, "predicted positions stand in spans of 1 to so many; below data.max_length", low=1, high=1023, search=(2, 6)
    )
    permute_all: bool = knob(False, "predict every position but the first of the random order, instead of spans")


class RTD(Part):
    """Replaced items: a discriminator finds which items the masked model (MLM) has replaced; trained jointly."""

    kind: Literal["rtd"] = "rtd"
    probability: float = knob(
        0.2, "share of the positions hidden, and then replaced, in training", low=0.01, high=0.99, search=(0.05, 0.7)
    )
    weight: float = knob(10.0, "weight of the discriminator's loss beside the generator's", low=0, high=1000,
                         search=(1, 50), log=True)  # fmt: skip
    discriminator: Literal["shared", "separate"] = knob(
        "shared", "its body: the generator's own, or a second one on the same input block"
    )
    temperature: float = knob(
        1.0, "replacements are drawn from softmax(scores / temperature)", low=0.01, high=100, search=(0.5, 2), log=True
    )


MaskingSpec = Annotated[CLM | MLM | PLM | RTD, Field(discriminator="kind")]

# ── Body ────────────────────────────────────────────────────────────────────────────────────────


class _Layers(Part):
    d_model: int = knob(64, "width of the body", low=2, high=4096, search=(64, 448))
    n_layer: int = knob(2, "number of layers", low=1, high=48, search=(1, 4))
    dropout: float = knob(0.1, "dropout inside the body", low=0, high=0.95, search=(0, 0.5))


class _Transformer(_Layers):
    n_head: int = knob(4, "attention heads; must divide d_model", low=1, high=64, search=(1, 16))
    activation: Literal["gelu", "relu", "silu"] = knob("gelu", "activation of the feed-forward layers")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> _Transformer:
        if self.d_model % self.n_head:
            fits = [n for n in range(1, self.d_model + 1) if self.d_model % n == 0 and n <= 64]
            raise InputError(f"n_head {self.n_head} does not divide d_model {self.d_model}; choose n_head from {fits}")
        return self


class XLNet(_Transformer):
    """XLNet: relative positions, either direction of attention."""

    kind: Literal["xlnet"] = "xlnet"


class GPT2(_Transformer):
    """GPT-2: causal attention, absolute positions."""

    kind: Literal["gpt2"] = "gpt2"


class BERT(_Transformer):
    """BERT: attention both ways, absolute positions."""

    kind: Literal["bert"] = "bert"


class GRU(_Layers):
    """Gated recurrent unit, as in GRU4Rec."""

    kind: Literal["gru"] = "gru"


class LSTM(_Layers):
    """Long short-term memory."""

    kind: Literal["lstm"] = "lstm"


BodySpec = Annotated[XLNet | GPT2 | BERT | GRU | LSTM, Field(discriminator="kind")]

BODY_MASKINGS: dict[str, tuple[str, ...]] = {
    "xlnet": ("clm", "mlm", "plm", "rtd"),
    "gpt2": ("clm",),
    "bert": ("mlm", "rtd"),
    "gru": ("clm",),
    "lstm": ("clm",),
}
"""Which maskings each body supports: read by the validation, the forms, the blocks and the certificates."""


def pair_refusal(body: str, masking: str) -> str | None:
    """Why `masking` can't train `body`, with what can; None where it can."""
    supported = BODY_MASKINGS[body]
    if masking in supported:
        return None
    others = [name for name, maskings in BODY_MASKINGS.items() if masking in maskings]
    return (
        f"masking {masking!r} is not for body {body!r}: use {' or '.join(supported)} with {body}, "
        f"or {masking} with {', '.join(others)}"
    )


# ── Heads ───────────────────────────────────────────────────────────────────────────────────────


class CrossEntropy(Part):
    """Full softmax cross-entropy over all items."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = knob(
        0.0, "share of the target's probability spread over all items", low=0, high=0.99, search=(0, 0.9)
    )


LossSpec = CrossEntropy


class NextItem(Part):
    """Predict the next item over the whole catalog."""

    kind: Literal["next_item"] = "next_item"
    loss: LossSpec = Field(CrossEntropy(), description="what is minimized")
    temperature: float = knob(
        1.0, "scores are divided by it, in the loss and in the scores", low=0.01, high=100, search=(0.1, 5), log=True
    )
    weight_tying: bool = knob(True, "use the item embedding as output weights (Inan et al., 2017)")


HeadSpec = NextItem


class ModelSpec(Part):
    """The four layers of the meta-architecture."""

    inputs: InputsSpec = Field(InputsSpec(), description="features and their aggregation")
    masking: MaskingSpec = Field(CLM(), description="what is hidden and what is predicted in training")
    body: BodySpec = Field(GPT2(), description="the network over the sequence")
    heads: list[HeadSpec] = Field([NextItem()], description="what is predicted", min_length=1, max_length=1)

    @model_validator(mode="after")
    def _pair_is_allowed(self) -> ModelSpec:
        if refusal := pair_refusal(self.body.kind, self.masking.kind):
            raise InputError(refusal)
        return self


# ── Training and evaluation ─────────────────────────────────────────────────────────────────────

METRICS = ("ndcg", "recall", "mrr")
"""Full-ranking metrics at each cutoff."""


class EvaluationSpec(Part):
    """How the model is judged: full ranking over all items, ties by halves."""

    cutoffs: list[int] = Field([10, 20], description="lengths k of the list that is judged", min_length=1)
    positions: Literal["last", "all"] = knob(
        "last", "predict each session's last event, or every event after the first"
    )
    filter_seen: bool = knob(False, "items already in the session are no candidates")

    @model_validator(mode="after")
    def _cutoffs_are_positive(self) -> EvaluationSpec:
        if any(k < 1 for k in self.cutoffs) or len(set(self.cutoffs)) < len(self.cutoffs):
            raise InputError(f"cutoffs {self.cutoffs} must be different whole numbers from 1 up, for example [10, 20]")
        return self

    @property
    def metrics(self) -> list[str]:
        """Names of everything that is computed, such as ``ndcg@10``."""
        return [f"{metric}@{k}" for k in self.cutoffs for metric in METRICS]


class TrainSpec(Part):
    """The training loop."""

    fit_on: Literal["train", "train+valid"] = knob(
        "train", "train+valid: a final fit for a set number of epochs, without validation or early stopping"
    )
    epochs: int = knob(10, "passes over the training part at most", low=1, high=10_000)
    batch_size: int = knob(
        128, "sessions in one step, all processes together", low=1, high=65_536, search=(128, 512), log=True
    )
    learning_rate: float = knob(1e-3, "peak step size of AdamW", low=1e-8, high=10, search=(1e-4, 1e-2), log=True)
    weight_decay: float = knob(1e-5, "decoupled weight decay", low=0, high=10, search=(1e-6, 1e-3), log=True)
    schedule: Literal["constant", "linear", "cosine"] = knob("linear", "how the learning rate falls after warm-up")
    warmup: float = knob(0.1, "share of all steps over which the learning rate rises", low=0, high=1, search=(0, 0.3))
    clip_norm: float | None = knob(1.0, "largest norm of the gradient; empty: no clipping", low=1e-6)
    patience: int | None = knob(3, "stop after so many epochs without a better validation metric; empty: never", low=1)
    monitor: str | None = knob(None, "validation metric that decides; empty: ndcg at the last cutoff")
    seed: int = knob(0, "seed of initial weights, order and dropout", low=0, high=2**31 - 1)
    precision: Literal["float32", "bfloat16", "float16"] = knob("float32", "arithmetic of the body")
    device: Literal["auto", "cpu"] = knob("auto", "auto: an accelerator where there is one")
    checkpoint_seconds: float = knob(60.0, "after so many seconds the state is kept within an epoch too", low=0)
