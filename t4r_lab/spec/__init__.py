"""Spec: one serializable description of a run; the single source of truth of every face."""

from t4r_lab.spec.bodies import BERT, BODY_MASKINGS, GPT2, GRU, LSTM, BodySpec, XLNet, pair_refusal
from t4r_lab.spec.knobs import Knob
from t4r_lab.spec.parts import (
    CLM,
    METRICS,
    MLM,
    PLM,
    RTD,
    CrossEntropy,
    DataSpec,
    EvaluationSpec,
    FeatureSpec,
    InputsSpec,
    MaskingSpec,
    ModelSpec,
    NextItem,
    TowerSpec,
    TrainSpec,
)
from t4r_lab.spec.run import RunSpec, parse_assignment

__all__ = [
    "BERT",
    "BODY_MASKINGS",
    "CLM",
    "GPT2",
    "GRU",
    "LSTM",
    "METRICS",
    "MLM",
    "PLM",
    "RTD",
    "BodySpec",
    "CrossEntropy",
    "DataSpec",
    "EvaluationSpec",
    "FeatureSpec",
    "InputsSpec",
    "Knob",
    "MaskingSpec",
    "ModelSpec",
    "NextItem",
    "RunSpec",
    "TowerSpec",
    "TrainSpec",
    "XLNet",
    "pair_refusal",
    "parse_assignment",
]
