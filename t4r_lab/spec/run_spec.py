"""RunSpec: one serializable description of a run, and how it is read, checked and changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from t4r_lab.base.documents import Document, read_document, read_yaml
from t4r_lab.base.errors import InputError, clipped, did_you_mean, shortened
from t4r_lab.families import custom
from t4r_lab.families.encoders.column_encoder import ColumnEncoder
from t4r_lab.families.knobs import Knob, Part, element, variants, walk
from t4r_lab.families.metrics.metric_table import is_ranked, lower_is_better
from t4r_lab.spec.sections import DataSpec, EvaluationSpec, ModelSpec, TrainSpec

LONGEST_NAME = 200
TAGS = (custom.Member.tag, ColumnEncoder.tag)
"""Keys that name a part: the others beside them are its knobs."""


def _short(kind: str) -> str:
    """The kind of a part; of a user's class without its module."""
    return kind.rpartition(":")[2]


class RunSpec(Part):
    """Data, model, training and evaluation of one run.

    Examples
    --------
    >>> spec = RunSpec.parse({"data": {"path": "mlruns/data/demo"}})
    >>> spec.override({"model.body.d_model": 128}).model.body.d_model
    128
    """

    name: str = Field("run", description="a name for people", min_length=1, max_length=LONGEST_NAME)
    data: DataSpec
    model: ModelSpec = Field(ModelSpec())
    train: TrainSpec = Field(TrainSpec())
    evaluation: EvaluationSpec = Field(EvaluationSpec())

    @model_validator(mode="after")
    def _temperature_has_data(self) -> RunSpec:
        for index, head in enumerate(self.model.heads):
            if getattr(head, "fit_temperature", False) and self.train.fit_on != "train":
                path = f"model.heads.{index}.fit_temperature"
                raise InputError(path, "there is no validation part to fit it on", "set train.fit_on to train")
        return self

    @model_validator(mode="after")
    def _monitor_is_computed(self) -> RunSpec:
        monitor = self.train.monitor
        if monitor is not None and monitor not in self.metrics:
            reason = ", since no head predicts items" if is_ranked(monitor) and not self.model.next_item else ""
            problem = f"{shortened(monitor)} is not computed{reason}"
            raise InputError("train.monitor", problem, did_you_mean(monitor, self.metrics))
        return self

    @model_validator(mode="after")
    def _masking_fits_into_sessions(self) -> RunSpec:
        try:
            self.model.masking.check(self.data.max_length, "data.max_length")
        except InputError as error:
            raise error.at(f"model.masking.{error.path}") from None
        return self

    @property
    def metrics(self) -> list[str]:
        """Names of everything that is computed: ``ndcg@10`` of the next item, ``purchase/auc`` of a label."""
        next_item_first = sorted(self.model.heads, key=lambda head: head.label is not None)
        cutoffs, rank_metrics = self.evaluation.cutoffs, self.evaluation.rank_metrics
        return [metric for head in next_item_first for metric in head.metrics(cutoffs, rank_metrics)]

    @property
    def monitor(self) -> str:
        """The validation metric that chooses the best epoch."""
        if self.train.monitor is not None:
            return self.train.monitor
        return (self.model.next_item or self.model.heads[0]).deciding(self.evaluation.cutoffs)

    @property
    def model_name(self) -> str:
        """The model in a few words, which name a run until a person does: ``xlnet-mlm``, ``xlnet+bert-mlm``."""
        bodies = [self.model.body, *(tower.body for tower in self.model.towers)]
        parts = ["+".join(_short(body.kind) for body in bodies), _short(self.model.masking.kind)]
        return "-".join(parts)[:LONGEST_NAME]

    def merit(self, metrics: Mapping[str, float]) -> float:
        """The monitored one of `metrics`, its sign turned where lower is better: the largest is the best."""
        return metrics[self.monitor] * (-1 if lower_is_better(self.monitor) else 1)

    # reading ------------------------------------------------------------------------------------

    @classmethod
    def parse(cls, content: object, source: str = "spec") -> RunSpec:
        """Check plain `content` (of YAML or JSON).

        Raises
        ------
        InputError
            with the dotted path, the value and a remedy, for the first thing that is wrong.
        """
        if not isinstance(content, Mapping):
            raise InputError(
                source,
                f"expected keys such as data and model, got {type(content).__name__}",
                "see the README (a file of events is prepared first: `t4r-lab prepare`)",
            )
        try:
            return cls.model_validate(dict(content))
        except ValidationError as error:
            raise explain(cls, content, error, source) from None

    @classmethod
    def loads(cls, text: str, source: str = "spec") -> RunSpec:
        """Check YAML or JSON `text` of a spec file; a section ``search:`` is a study's, and left out here."""
        return cls.parse(without_search(read_document(text, source)), source)

    @classmethod
    def load(cls, path: str | Path, trust: Iterable[str] = ()) -> RunSpec:
        """Read and check a YAML or JSON file, which may name classes of the packages that you `trust`."""
        custom.trust(trust)
        return cls.parse(without_search(read_file(path)), str(path))

    # writing ------------------------------------------------------------------------------------

    def to_dict(self) -> Document:
        """Plain content, complete with every default."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The spec as YAML, every knob with its value."""
        return str(yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True))

    def to_json(self) -> str:
        """The spec as JSON, every knob with its value."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    # knobs --------------------------------------------------------------------------------------

    def knobs(self) -> dict[str, Knob]:
        """Every knob of this spec by its dotted path."""
        return {k.path: k for k in walk(self)}

    def flat(self) -> dict[str, object]:
        """Every value by its dotted path: the parameters of the run's record."""
        return {path: k.value for path, k in self.knobs().items()}

    def changed(self) -> dict[str, Any]:
        """Path → value of every knob that differs from its default, but those that a spec must give."""
        kinds = {path: value for path, value in RunSpec(data=self.data).flat().items() if path.endswith(".kind")}
        knobs = [knob for path, knob in self.knobs().items() if path not in ("name", "data.path")]
        return {knob.path: knob.value for knob in knobs if knob.value != kinds.get(knob.path, knob.default)}

    def override(self, changes: Mapping[str, object]) -> RunSpec:
        """A new spec with the values at dotted paths replaced.

        A changed ``kind``, or ``encoding`` of a feature, keeps the keys that the new one has and drops the rest.
        Paths are set before the whole is checked, so that changes which only fit together can be made together.
        """
        content = self.to_dict()
        for path in sorted(changes, key=lambda p: p.rpartition(".")[2] not in TAGS):
            _set(content, path, changes[path], dict(changes))
        return RunSpec.parse(content, "")


def read_file(path: str | Path) -> Any:
    """The plain content of a spec file, YAML or JSON."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise InputError(path, "not a text file", "give the path of a YAML or JSON spec") from None
        why = getattr(error, "strerror", None) or error
        raise InputError(path, f"cannot be read ({why})", "give the path of a spec file") from None
    return read_document(text, str(path))


def without_search(content: object) -> object:
    """A spec file's content without its section ``search:``, which is a study's."""
    return (
        {key: value for key, value in content.items() if key != "search"} if isinstance(content, Mapping) else content
    )


def parse_assignment(text: str) -> tuple[str, object]:
    """``path=value`` of the command line as path and typed value.

    Examples
    --------
    >>> parse_assignment("train.learning_rate=1e-3")
    ('train.learning_rate', '1e-3')
    >>> parse_assignment("evaluation.cutoffs=[5, 10]")
    ('evaluation.cutoffs', [5, 10])
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise InputError(f"--set {shortened(text)}", "expected path=value", "write for example --set train.epochs=5")
    try:
        return path.strip(), read_yaml(value, "--set")
    except InputError as error:
        raise InputError(f"--set {shortened(text)}", error.problem, "quote it, as in --set name='\"a: b\"'") from None


def _set(content: Any, path: str, value: object, changes: Mapping[str, object]) -> None:
    *parents, last = path.split(".")
    here, trail = content, ""
    for key in parents:
        here = _child(here, key, trail, path)
        trail = f"{trail}{key}."
    if isinstance(here, list):
        here[_index(here, last, path)] = value
        return
    if not isinstance(here, dict):
        raise InputError(path, f"{trail.rstrip('.')} holds a single value", f"set {trail.rstrip('.')} itself")
    if trail == "" and last not in content:
        raise InputError(path, "unknown key", did_you_mean(path, content))
    if last in TAGS and here.get(last) != value:
        _drop_foreign_keys(here, trail, value, changes)
    here[last] = value


def _child(here: Any, key: str, trail: str, path: str) -> Any:
    if isinstance(here, list):
        return here[_index(here, key, path)]
    if isinstance(here, dict) and trail == "model.inputs.features.":
        here.setdefault(key, {})  # the one open dictionary: its keys are columns, checked against the schema later
    if not isinstance(here, dict) or key not in here:
        keys = list(here) if isinstance(here, dict) else []
        remedy = did_you_mean(key, keys) if keys else "it holds a single value"
        raise InputError(path, f"unknown key {trail}{key}", remedy)
    if here[key] is None:
        here[key] = {}
    return here[key]


def _index(here: list[object], key: str, path: str) -> int:
    if not key.isdecimal() or len(key) > 9 or int(key) >= len(here):
        raise InputError(
            path, f"{shortened(key)} is not an index of a list of {len(here)}", f"use 0 to {len(here) - 1}"
        )
    return int(key)


def _drop_foreign_keys(here: Document, trail: str, kind: object, changes: Mapping[str, object]) -> None:
    """Drop keys that the new kind lacks, unless the same change sets them (then they are an error to show)."""
    part = _named(trail.rstrip("."), kind)
    if part is None:
        return
    for key in list(here):
        if key not in part.model_fields and f"{trail}{key}" not in changes:
            del here[key]


def _named(path: str, kind: object) -> type[Part] | None:
    """The part that `kind` names at a dotted path; None if there is none, which the check of the whole refuses."""
    if custom.is_custom(kind):
        return _user_class(kind)
    kinds = kinds_at(path)
    return kinds.get("", kinds.get(kind) if isinstance(kind, str) else None)


def _user_class(kind: object) -> type[Part] | None:
    """The class of the user that `kind` names as ``package.module:Name``; None if it names none that can be loaded."""
    try:
        return custom.load(kind, custom.Member) if custom.is_custom(kind) else None
    except InputError:
        return None


def kinds_at(path: str) -> dict[str, type[Part]]:
    """The parts that may stand at a dotted path such as ``model.body``, by kind."""
    annotation: object = RunSpec
    for key in path.split("."):
        annotation = _annotation(annotation, key, {})
    return variants(annotation)


# explaining -------------------------------------------------------------------------------------


def _annotation(owner: object, key: str, raw: object) -> object:
    """The annotation of `key` in `owner` (a part, a union of parts, or a container)."""
    inner = element(owner) if not isinstance(owner, type) else None
    if inner is not None:
        return inner
    part = _part(owner, raw)
    if part is None or key not in part.model_fields:
        return None
    field = part.model_fields[key]
    return field.annotation


def _part(owner: object, raw: object) -> type[Part] | None:
    """The part that `raw` describes: of the kind that it names, where that exists; else the first of `owner`."""
    named = [raw[tag] for tag in TAGS if tag in raw] if isinstance(raw, Mapping) else []
    if user_class := next(filter(None, map(_user_class, named)), None):
        return user_class
    kinds = variants(owner)
    kind = raw.get("kind", "") if isinstance(raw, Mapping) else ""
    return (kinds.get(kind) if isinstance(kind, str) else None) or next(iter(kinds.values()), None)


def explain(root: type[Part], content: Any, error: ValidationError, source: str = "") -> InputError:
    """The first of pydantic's errors in `content` of a `root`, which `source` holds, as one of ours."""
    first = error.errors()[0]
    loc, raw, path = list(first["loc"]), content, list[str]()
    owner: object = root
    for i, key in enumerate(loc):
        if isinstance(raw, Mapping) and key not in raw and str(key) in variants(owner):
            continue  # pydantic names the variant of a union in the location; a person doesn't
        if first["type"] == "extra_forbidden" and i == len(loc) - 1:
            part = _part(owner, raw)
            keys = part.model_fields if part else ()
            path.append(clipped(str(key)))
            return InputError(_location(source, path), "unknown key", did_you_mean(str(key), keys))
        owner = _annotation(owner, str(key), raw)
        path.append(str(key))
        try:
            raw = raw[key]
        except (KeyError, IndexError, TypeError):
            raw = None
    if isinstance(raised := first.get("ctx", {}).get("error"), InputError):  # a validator's, of something beneath
        return raised.at(_location(source, [*path, raised.path]))
    return _error_of(source, path, raw, owner, first)


def _location(source: str, path: Sequence[str]) -> str:
    """The dotted `path` in `source`; parts that are empty are left out.

    >>> _location("shop.yaml", ["train", "epochs"]), _location("", ["train", ""])
    ('shop.yaml: train.epochs', 'train')
    """
    return ": ".join(filter(None, [source, ".".join(filter(None, path))]))


def _error_of(source: str, path: Sequence[str], value: object, owner: object, first: Any) -> InputError:
    """Pydantic's `first` error of a `value` at `path` in `source`, which belongs to `owner`."""
    at = _location(source, path)
    if first["type"] == "missing":
        return InputError(at, "is required", "add it")
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        kind = value.get("kind") if isinstance(value, Mapping) else value
        word = f"unknown kind {shortened(kind)}" if first["type"] == "union_tag_invalid" else "needs a kind"
        return InputError(_location(source, [*path, "kind"]), word, did_you_mean(kind, list(variants(owner))))
    if first["type"] == "literal_error":
        choices = [c.strip("' ") for c in first["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return InputError(at, f"{shortened(value)} is not a choice", did_you_mean(value, choices))
    if first["type"] == "value_error":
        return InputError(at, str(first["ctx"]["error"]), "change it")
    problem = f"{shortened(value)} is wrong: {first['msg'][0].lower()}{first['msg'][1:]}"
    return InputError(at, problem, "change it")
