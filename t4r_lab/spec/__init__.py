"""Spec: one serializable description of a run; the single source of truth of every face."""

# The names of parts are listed rather than made from the tables of families, for type checkers and editors to see.

from t4r_lab.families.bodies.body_table import BODIES, BODY_MASKINGS, BodySpec, not_for, pair_refusal
from t4r_lab.families.bodies.hugging_face.bert import BERT
from t4r_lab.families.bodies.hugging_face.gpt2 import GPT2
from t4r_lab.families.bodies.hugging_face.xlnet import XLNet
from t4r_lab.families.bodies.native.gru import GRU
from t4r_lab.families.bodies.native.lstm import LSTM
from t4r_lab.families.encoders.encoder_table import FeatureSpec
from t4r_lab.families.encoders.vectors_spec import VectorsSpec
from t4r_lab.families.knobs import Knob
from t4r_lab.families.losses.bce import BCE
from t4r_lab.families.losses.bpr import BPR
from t4r_lab.families.losses.bpr_max import BPRMax
from t4r_lab.families.losses.cross_entropy import CrossEntropy
from t4r_lab.families.losses.gbce import GBCE
from t4r_lab.families.losses.loss_table import LOSSES, LossSpec
from t4r_lab.families.losses.sampled_softmax import SampledSoftmax
from t4r_lab.families.losses.top1 import TOP1
from t4r_lab.families.losses.top1_max import TOP1Max
from t4r_lab.families.maskings.clm import CLM
from t4r_lab.families.maskings.masking_table import MASKINGS, MaskingSpec
from t4r_lab.families.maskings.mlm import MLM
from t4r_lab.families.maskings.plm import PLM
from t4r_lab.families.maskings.rtd import RTD
from t4r_lab.families.metrics.metric_table import RANK_METRICS, best_baseline, lower_is_better
from t4r_lab.spec.head_specs import (
    LABEL_METRICS,
    NEXT_ITEM,
    Binary,
    Categorical,
    NextItem,
    Regression,
    event_summary_refusal,
    head_name,
)
from t4r_lab.spec.run_spec import RunSpec, parse_assignment
from t4r_lab.spec.sections import (
    DataSpec,
    EvaluationSpec,
    InputsSpec,
    ModelSpec,
    TowerSpec,
    TrainSpec,
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
    "LOSSES",
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
