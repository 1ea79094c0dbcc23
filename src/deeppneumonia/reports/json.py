"""The machine-readable answer, exactly as `templates/result.schema.json` describes it."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import numpy as np

from deeppneumonia.domain import PatientDiagnosis, SlicePrediction, Status

SCHEMA_VERSION = "1.0"
DIGITS = 6


def to_json(diagnosis: PatientDiagnosis) -> dict[str, Any]:
    """The answer in plain JSON types, with floats rounded to 6 digits.

    A refused study has no probability in it, neither of the patient nor of any slice.
    """
    refused = diagnosis.status is Status.REFUSED
    flags = [
        {"code": flag.code, "message": flag.message, "blocks": flag.blocks}
        for flag in diagnosis.flags
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "status": str(diagnosis.status),
        "reasons": list(diagnosis.reasons),
        "probabilities": _plain(diagnosis.probabilities),
        "diagnosis": None if diagnosis.diagnosis is None else str(diagnosis.diagnosis),
        "slices": [] if refused else [_slice(one) for one in diagnosis.slices],
        "key_slices": [] if refused else [int(index) for index in diagnosis.key_slices],
        "quality": {**_plain(diagnosis.quality), "flags": flags},
        "model": {"name": diagnosis.model.name, "sha256": diagnosis.model.sha256},
        "timing_s": _plain(diagnosis.timing_s),
    }


def _slice(prediction: SlicePrediction) -> dict[str, Any]:
    return {
        "index": int(prediction.slice_index),
        "probabilities": _plain(prediction.probabilities),
        "details": [
            {
                "box": _plain((one.box.x0, one.box.y0, one.box.x1, one.box.y1)),
                "weight": _plain(one.weight),
            }
            for one in prediction.details
        ],
    }


def _plain(value: object) -> Any:
    """The same value in JSON's own types; what is not finite becomes null."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return round(value, DIGITS) if np.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise ValueError(f"{type(value).__name__} has no place in JSON")
