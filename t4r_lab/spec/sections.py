"""The parts of a run: data, model, training, evaluation. Every knob is defined here and only here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from t4r_lab.base.documents import Document
from t4r_lab.base.errors import InputError, shortened
from t4r_lab.families.bodies.body_table import BodySpec, pair_refusal
from t4r_lab.families.bodies.hugging_face.gpt2 import GPT2
from t4r_lab.families.encoders.encoder_table import FeaturePart
from t4r_lab.families.knobs import Part, knob
from t4r_lab.families.maskings.clm import CLM
from t4r_lab.families.maskings.masking_table import MaskingSpec
from t4r_lab.families.metrics.metric_table import NAME, RANK_METRICS, name_of
from t4r_lab.families.metrics.shared.metric_row import Metric
from t4r_lab.spec.head_specs import NEXT_ITEM, HeadSpec, LabelSpec, NextItem, head_name

HEADS, TOWERS = "model.heads", "model.towers"
"""Paths of the lists of a model: its heads, and the towers beside the first."""

# ── Data ────────────────────────────────────────────────────────────────────────────────────────


class DataSpec(Part):
    """Prepared data, and how much of each session is read."""

    path: str = Field(description="folder written by `t4r-lab prepare`")
    max_length: int = knob(
        20, "events of a session that the model reads; the newest are kept", low=2, high=1024, search=(10, 50)
    )


# ── Inputs ──────────────────────────────────────────────────────────────────────────────────────

Aggregation = Literal["concat", "element-wise-sum", "element-wise-sum-item-multi"]


class InputsSpec(Part):
    """Feature aggregation: which columns, how encoded, how joined."""

    features: dict[str, FeaturePart] | None = Field(
        None, description="columns by name; empty: every feature of the schema with its default encoding"
    )
    aggregation: Aggregation = knob("concat", "how the features of one event become one vector")
    continuous_projection: int | None = knob(
        None,
        "width of one joint projection of all continuous columns without an encoding of their own; "
        "empty: each separately",
        low=1,
        high=2048,
    )
    layer_norm: bool = knob(False, "layer norm of each embedded or projected feature before aggregation")
    dropout: float = knob(0.0, "dropout on the aggregated vector", low=0, high=0.95, search=(0, 0.5))
    shared_embeddings: float = knob(
        0.0,
        "stochastic shared embeddings (Wu et al., 2019): training probability that an id is replaced by a random one",
        low=0,
        high=1,
        search=(0, 0.1),
    )
    swap_noise: float = knob(
        0.0,
        "stochastic swap noise: training probability that a value is replaced by one from another session of the batch",
        low=0,
        high=1,
        search=(0, 0.3),
    )
    swap: Literal["feature", "event"] = knob("feature", "unit of swap noise: single values, or all values of an event")
    init_std: float = knob(0.05, "standard deviation of the initial embeddings", low=1e-4, high=1, search=(0.01, 0.15))


# ── Towers ──────────────────────────────────────────────────────────────────────────────────────


class TowerSpec(Part):
    """Another tower: features of its own and a body of its own."""

    inputs: InputsSpec = Field(InputsSpec(), description="the tower's features and their aggregation")
    body: BodySpec = Field(GPT2(), description="the tower's network over the sequence")


# ── The model ───────────────────────────────────────────────────────────────────────────────────


class ModelSpec(Part):
    """The four layers of the meta-architecture."""

    inputs: InputsSpec = Field(InputsSpec(), description="features and their aggregation")
    masking: MaskingSpec = Field(CLM(), description="what is hidden and what is predicted in training")
    body: BodySpec = Field(GPT2(), description="the network over the sequence")
    towers: list[TowerSpec] = Field(
        [], description="further towers beside inputs and body; all share the masking", max_length=8
    )
    merge: Literal["concat", "sum", "gate"] = knob("concat", "how the outputs of several towers become one")
    heads: list[HeadSpec] = Field([NextItem()], description="what is predicted", min_length=1, max_length=32)

    @model_validator(mode="after")
    def _pair_is_allowed(self) -> ModelSpec:
        for body in self.bodies:
            if refusal := pair_refusal(body.kind, self.masking.kind):
                raise refusal
        return self

    @model_validator(mode="after")
    def _towers_can_be_merged(self) -> ModelSpec:
        widths = [body.d_model for body in self.bodies]
        if self.merge != "concat" and len(set(widths)) > 1:
            raise InputError(
                "",
                f"merge {self.merge!r} needs towers of one width, but their d_model are {', '.join(map(str, widths))}",
                "give all one d_model, or merge by concat",
            )
        return self

    @field_validator("heads", mode="before")
    @classmethod
    def _default_kind_of_heads(cls, heads: object) -> object:
        if not isinstance(heads, list):
            return heads
        return [{"kind": NEXT_ITEM, **h} if isinstance(h, dict) and "kind" not in h else h for h in heads]

    @model_validator(mode="after")
    def _each_task_once(self) -> ModelSpec:
        names = [head_name(head) for head in self.heads]
        for index, name in enumerate(names):
            if name in names[:index]:
                what = "next item" if name == NEXT_ITEM else f"label {name!r}"
                raise InputError(
                    "heads", f"heads.{index} predicts the {what}, as heads.{names.index(name)} does", "remove one"
                )
        if not any(head.weight for head in self.heads):
            raise InputError("heads", "every weight is 0, so nothing would be learned", "set one above 0")
        return self

    @property
    def bodies(self) -> list[BodySpec]:
        """The body of every tower, the model's own first."""
        return [self.body, *(tower.body for tower in self.towers)]

    @property
    def next_item(self) -> NextItem | None:
        """The head that predicts the next item."""
        return next(filter(None, (head.as_next_item for head in self.heads)), None)

    @property
    def fits_temperature(self) -> bool:
        """True if the temperature of the next-item scores is fitted after training."""
        return self.next_item is not None and self.next_item.fit_temperature

    @property
    def labels(self) -> list[LabelSpec]:
        """The heads that predict labels."""
        return list(self.labels_by_path.values())

    @property
    def labels_by_path(self) -> dict[str, LabelSpec]:
        """The heads that predict labels, by their path in a spec."""
        return {f"model.heads.{i}": label for i, head in enumerate(self.heads) if (label := head.as_label) is not None}


# ── Training and evaluation ─────────────────────────────────────────────────────────────────────


class EvaluationSpec(Part):
    """How the model is evaluated: ranked against all items, a tie counts half."""

    cutoffs: list[int] = Field([10, 20], description="list lengths k at which metrics are computed", min_length=1)
    positions: Literal["last", "all"] = knob(
        "last", "predict each session's last event, or every event after the first"
    )
    filter_seen: bool = knob(False, "don't recommend items that are already in the session")
    metrics: list[str] = Field([], description="your own metrics of ranks, each as `package.module:name`")

    @model_validator(mode="after")
    def _cutoffs_are_positive(self) -> EvaluationSpec:
        if any(k < 1 for k in self.cutoffs) or len(set(self.cutoffs)) < len(self.cutoffs):
            raise InputError(
                "cutoffs", f"{self.cutoffs} are not different whole numbers from 1 up", "use for example [10, 20]"
            )
        return self

    @field_validator("metrics", mode="before")
    @classmethod
    def _rows_by_name(cls, metrics: object) -> object:
        if not isinstance(metrics, (list, tuple)):
            return metrics
        return [name_of(row) if isinstance(row, Metric) else row for row in metrics]

    @model_validator(mode="after")
    def _metrics_are_named_once(self) -> EvaluationSpec:
        for index, name in enumerate(self.metrics):
            if not NAME.fullmatch(name):
                remedy = "write package.module:name; those of the package are computed anyway"
                raise InputError(f"metrics.{index}", f"{shortened(name)} names no custom metric", remedy)
            if name in self.metrics[:index]:
                raise InputError(f"metrics.{index}", f"{shortened(name)} is named twice", "remove one")
        return self

    @model_serializer(mode="wrap")
    def _without_empty_metrics(self, serialize: SerializerFunctionWrapHandler) -> Document:
        """Specs without metrics of their own stay as earlier versions wrote and can read them."""
        content: Document = serialize(self)
        return {key: value for key, value in content.items() if key != "metrics" or value}

    @property
    def rank_metrics(self) -> tuple[str, ...]:
        """Names of the metrics of ranks, custom ones last."""
        return (*RANK_METRICS, *self.metrics)


class TrainSpec(Part):
    """The training loop."""

    fit_on: Literal["train", "train+valid"] = knob(
        "train", "train+valid: a final fit for a set number of epochs, without validation or early stopping"
    )
    epochs: int = knob(10, "maximum number of passes over the training part", low=1, high=10_000)
    batch_size: int = knob(
        128, "sessions per step, over all processes", low=1, high=65_536, search=(128, 512), log=True
    )
    learning_rate: float = knob(1e-3, "peak step size of AdamW", low=1e-8, high=10, search=(1e-4, 1e-2), log=True)
    weight_decay: float = knob(1e-5, "decoupled weight decay", low=0, high=10, search=(1e-6, 1e-3), log=True)
    schedule: Literal["constant", "linear", "cosine"] = knob("linear", "how the learning rate decays after warm-up")
    warmup: float = knob(0.1, "share of all steps over which the learning rate rises", low=0, high=1, search=(0, 0.3))
    clip_norm: float | None = knob(1.0, "gradient norm above which gradients are clipped; empty: no clipping", low=1e-6)
    patience: int | None = knob(
        3, "stop after this many epochs without a better validation metric; empty: never", low=1
    )
    monitor: str | None = knob(
        None,
        f"validation metric that selects the best epoch; empty: {next(iter(RANK_METRICS))} at the last cutoff, or the "
        "first label's first metric",
    )
    seed: int = knob(0, "seed of the initial weights, batch order and dropout", low=0, high=2**31 - 1)
    precision: Literal["float32", "bfloat16", "float16"] = knob("float32", "arithmetic of the body")
    device: Literal["auto", "cpu"] = knob("auto", "auto: an accelerator if available")
    checkpoint_seconds: float = knob(60.0, "seconds between checkpoints within an epoch", low=0)
