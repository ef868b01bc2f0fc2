"""Spec: one serializable description of a run; the single source of truth of every face."""

from t4r_lab.families.bodies.body_table import BODIES, BODY_MASKINGS, BodySpec, not_for, pair_refusal
from t4r_lab.families.bodies.hugging_face.bert import BERT
from t4r_lab.families.bodies.hugging_face.gpt2 import GPT2
from t4r_lab.families.bodies.hugging_face.xlnet import XLNet
from t4r_lab.families.bodies.native.gru import GRU
from t4r_lab.families.bodies.native.lstm import LSTM
from t4r_lab.families.knobs import Knob
from t4r_lab.families.maskings.clm import CLM
from t4r_lab.families.maskings.masking_table import MASKINGS, MaskingSpec
from t4r_lab.families.maskings.mlm import MLM
from t4r_lab.families.maskings.plm import PLM
from t4r_lab.families.maskings.rtd import RTD
from t4r_lab.families.metrics.metric_table import RANK_METRICS, best_baseline, lower_is_better
from t4r_lab.spec.head_specs import (
    BCE,
    BPR,
    GBCE,
    LABEL_METRICS,
    NEXT_ITEM,
    TOP1,
    Binary,
    BPRMax,
    Categorical,
    CrossEntropy,
    LossSpec,
    NextItem,
    Regression,
    SampledSoftmax,
    TOP1Max,
    event_summary_refusal,
    head_name,
)
from t4r_lab.spec.run_spec import RunSpec, parse_assignment
from t4r_lab.spec.sections import (
    DataSpec,
    EvaluationSpec,
    FeatureSpec,
    InputsSpec,
    ModelSpec,
    TowerSpec,
    TrainSpec,
    VectorsSpec,
)

METRICS = tuple(RANK_METRICS)
"""Full-ranking metrics at each cutoff."""

__all__ = [
    "BCE",
    "BERT",
    "BODIES",
    "BODY_MASKINGS",
    "BPR",
    "CLM",
    "GBCE",
    "GPT2",
    "GRU",
    "LABEL_METRICS",
    "LSTM",
    "MASKINGS",
    "METRICS",
    "MLM",
    "NEXT_ITEM",
    "PLM",
    "RTD",
    "TOP1",
    "BPRMax",
    "Binary",
    "BodySpec",
    "Categorical",
    "CrossEntropy",
    "DataSpec",
    "EvaluationSpec",
    "FeatureSpec",
    "InputsSpec",
    "Knob",
    "LossSpec",
    "MaskingSpec",
    "ModelSpec",
    "NextItem",
    "Regression",
    "RunSpec",
    "SampledSoftmax",
    "TOP1Max",
    "TowerSpec",
    "TrainSpec",
    "VectorsSpec",
    "XLNet",
    "best_baseline",
    "event_summary_refusal",
    "head_name",
    "lower_is_better",
    "not_for",
    "pair_refusal",
    "parse_assignment",
]
