"""What a finished run leaves in its record: metrics, every case, the model and what it takes to use it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from t4r_lab import tracking
from t4r_lab.base.files import scratch
from t4r_lab.spec import RunSpec
from t4r_lab.training import assembly

if TYPE_CHECKING:
    from t4r_lab.data.prepared.dataset import Dataset
    from t4r_lab.nn.heads.model import Model
    from t4r_lab.training.judgment import Judged


def write_results(
    record: tracking.Record, scored: dict[str, Judged], baselines: dict[str, dict[str, Judged]], best_epoch: int,
    spec: RunSpec, dataset: Dataset, model: Model,
) -> None:  # fmt: skip
    """Final metrics, ranks and labels of each case, model, spec, schema, vocabulary and environment.

    The spec, which has been there from the beginning, is written again, since somebody may have deleted it.
    """
    for part, judged in scored.items():
        record.scores(part, judged.metrics(), step=best_epoch)
        for name, found in baselines[part].items():
            record.scores(part, found.metrics(), name, best_epoch)
    record.metrics({"train/best_epoch": best_epoch})
    with scratch(record.home, "recording") as folder:
        assembly.save(model, folder / "model", spec, dataset.schema)
        (folder / tracking.SPEC).write_text(spec.to_yaml(), encoding="utf-8")
        (folder / "environment.txt").write_text(tracking.environment(), encoding="utf-8")
        dataset.schema.save(folder / "schema.json")
        dataset.vocabulary.copy_to(folder / "data")
        record.artifacts(folder)
    write_cases(record, scored, baselines)


def write_cases(record: tracking.Record, scored: dict[str, Judged], baselines: dict[str, dict[str, Judged]]) -> None:
    """Every case, of the model and of each baseline: what comparisons are made from.

    Ranks of next items stand in ``ranks/PART/NAME.parquet``, labels in ``labels/PART/LABEL/NAME.parquet``, slices and
    the reliability curve in ``detail/PART/NAME.json``.
    """
    with scratch(record.home, "recording") as folder:
        for part, judged in scored.items():
            for name, found in {"model": judged, **baselines[part]}.items():
                frames = {f"labels/{part}/{label}": cases.frame() for label, cases in found.labels.items()}
                if found.ranks is not None:
                    frames[f"ranks/{part}"] = found.ranks.frame()
                    detail = folder / "detail" / part / f"{name}.json"
                    detail.parent.mkdir(parents=True, exist_ok=True)
                    content = {"slices": found.slices, "reliability": found.reliability}
                    detail.write_text(json.dumps(content, indent=1), encoding="utf-8")
                for place, frame in frames.items():
                    (folder / place).mkdir(parents=True, exist_ok=True)
                    frame.write_parquet(folder / place / f"{name}.parquet")
        record.artifacts(folder)
