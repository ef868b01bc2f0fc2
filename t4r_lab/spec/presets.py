"""Presets: published models as fragments of a spec, with the source of every value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from t4r_lab.base.documents import Document
from t4r_lab.base.errors import InputError, did_you_mean, shortened
from t4r_lab.spec.run_spec import RunSpec


class Preset(NamedTuple):
    """A published model. What `fragment` leaves out has the spec's defaults."""

    title: str
    when: str
    """when to use it, in a sentence"""
    source: str
    fragment: Document
    """section of the spec → its values; ``model`` and ``train`` are replaced whole"""


def _paper(body: Document, masking: Document, inputs: Document, smoothing: float, **train: object) -> Document:
    """A row of the paper's appendix C with what all its rows share."""
    alone = {"features": {"item_id": {"dim": 448}}, "layer_norm": True}
    loss = {"kind": "cross_entropy", "label_smoothing": smoothing}
    return {
        "data": {"max_length": 20},
        "model": {"inputs": alone | inputs, "masking": masking, "body": body, "heads": [{"loss": loss}]},
        "train": {"epochs": 10, "schedule": "linear", "warmup": 0.0} | train,
    }


APPENDIX = "Transformers4Rec (de Souza Pereira Moreira et al., RecSys '21), online appendix C, best values on YOOCHOOSE"

PRESETS: dict[str, Preset] = {
    "xlnet-rtd": Preset(
        "XLNet · replaced items (paper)",
        "Short sessions with an hour to train: the paper's most accurate, as every position learns.",
        APPENDIX,
        _paper(
            {"kind": "xlnet", "d_model": 384, "n_head": 4, "n_layer": 4, "dropout": 0.0},
            {"kind": "rtd", "probability": 0.3, "weight": 1.0},
            {"dropout": 0.3, "init_std": 0.11},
            0.3,
            learning_rate=2.805e-4,
            weight_decay=3.48e-6,
            batch_size=320,
        ),
    ),
    "xlnet-mlm": Preset(
        "XLNet · masked (paper)",
        "When what comes after an event helps to understand it, and there are epochs to spend.",
        APPENDIX,
        _paper(
            {"kind": "xlnet", "d_model": 320, "n_head": 8, "n_layer": 2, "dropout": 0.0},
            {"kind": "mlm", "probability": 0.3},
            {"dropout": 0.3, "init_std": 0.09},
            0.6,
            learning_rate=5.427e-4,
            weight_decay=5.86e-6,
            batch_size=384,
        ),
    ),
    "gpt2": Preset(
        "GPT-2 · causal (paper)",
        "A first model that is hard to beat: it learns from every position and trains fast.",
        APPENDIX,
        _paper(
            {"kind": "gpt2", "d_model": 192, "n_head": 1, "n_layer": 2, "dropout": 0.1},
            {"kind": "clm"},
            {"dropout": 0.3, "init_std": 0.05, "shared_embeddings": 0.08},
            0.2,
            learning_rate=2.622e-4,
            weight_decay=2.92e-6,
            batch_size=320,
        ),
    ),
    "gru4rec": Preset(
        "GRU4Rec",
        "The classic for sessions of a few clicks; the smallest and fastest here.",
        "GRU4Rec (Hidasi et al., 2016; Hidasi & Karatzoglou, 2018), its authors' best values for cross-entropy on "
        "RSC15: one layer of 100, 2,048 negatives with log Q correction; the learning rate is AdamW's own default",
        {
            "data": {"max_length": 20},
            "model": {
                "inputs": {"features": {"item_id": {}}},
                "masking": {"kind": "clm"},
                "body": {"kind": "gru", "d_model": 100, "n_layer": 1, "dropout": 0.4},
                "heads": [{"loss": {"kind": "sampled_softmax", "negatives": 2048, "sampler": "log_uniform"}}],
            },
            "train": {"epochs": 10, "batch_size": 32, "learning_rate": 1e-3, "weight_decay": 0.0},
        },
    ),
    "sasrec": Preset(
        "SASRec",
        "Histories of users over weeks or years, in catalogs of any size.",
        "SASRec (Kang & McAuley, 2018), its sizes for sparse data, with full cross-entropy in place of one negative an "
        "event (Klenitskiy & Vasilev, RecSys '23)",
        {
            "data": {"max_length": 50},
            "model": {
                "inputs": {"features": {"item_id": {}}, "dropout": 0.5},
                "masking": {"kind": "clm"},
                "body": {
                    "kind": "sasrec",
                    "d_model": 50,
                    "n_head": 1,
                    "n_layer": 2,
                    "dropout": 0.5,
                    "activation": "relu",
                },
            },
            "train": {"epochs": 200, "patience": 10, "batch_size": 128, "learning_rate": 1e-3, "weight_decay": 0.0},
        },
    ),
    "ligr": Preset(
        "LiGR",
        "The most accurate on histories of users; larger than SASRec.",
        "LiGR layers (Borisyuk et al., 2025) with sampled softmax as in eSASRec (Tikhonovich et al., RecSys '25), its "
        "values on Beauty",
        {
            "data": {"max_length": 50},
            "model": {
                "inputs": {"features": {"item_id": {}}, "dropout": 0.2},
                "masking": {"kind": "clm"},
                "body": {"kind": "ligr", "d_model": 256, "n_head": 1, "n_layer": 1, "dropout": 0.2},
                "heads": [{"loss": {"kind": "sampled_softmax", "negatives": 256}}],
            },
            "train": {"epochs": 200, "patience": 10, "batch_size": 128, "learning_rate": 1e-3},
        },
    ),
}
"""Name → preset, in the order in which faces offer them."""


def start(name: str, spec: RunSpec | Mapping[str, Any]) -> RunSpec:
    """The preset `name` on the data of `spec`, judged as there; the run is called like the preset.

    Raises
    ------
    InputError
        for an unknown name.
    """
    if name not in PRESETS:
        raise InputError("preset", f"{shortened(name)} is not known", did_you_mean(name, PRESETS))
    content = spec.to_dict() if isinstance(spec, RunSpec) else dict(spec)
    fragment = PRESETS[name].fragment
    return RunSpec.parse({**content, **fragment, "name": name, "data": {**content["data"], **fragment["data"]}})
