"""Everything that is said about one evaluation, as the object that is written to metrics.json.

A metric is {"value", "low", "high"}, None where it is not defined. The keys:
    classes, absent_classes, renormalised, positive_class, interval, temperature; in `interval`
        the `remark` says why intervals are missing, None where none is
    slice, patient: every metric over the answered, with `per_class` for three classes or more
    slice_refusals_as_half, patient_refusals_as_half: the same with each refusal counted as 1/C
        for every class, 0.5 when there are two
    patient_ece_by_chance: the `ece` that the patients' probabilities would show if they were true
    confusion: {"classes", "slice", "patient"}, rows the truth, over the answered
    counts: {"slice", "patient"}, rows of each class, the refused ones included
    coverage: {"slice", "patient"}: {"answered", "total", "fraction", "per_class"}
    baselines: for each name `how`, the four blocks of metrics, `coverage`, and
        `patient_auc_gain`, the network's AUC minus the baseline's, refusals as half; None where
        the baseline has an answer for nobody

Where the test set lacks a class, probabilities are renormalised over those it holds, and
`renormalised` says so; with a single class they are left alone and most metrics are None.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.evaluation.answers import Answers, AnswerSet, answer_set
from deeppneumonia.evaluation.bootstrap import (
    REPEATS,
    Interval,
    auc_difference,
    lone_classes,
    score_with_intervals,
    undefined,
)
from deeppneumonia.evaluation.calibration import ece_by_chance
from deeppneumonia.evaluation.metrics import score
from deeppneumonia.evaluation.patients import is_answered, refusals_as_uniform
from deeppneumonia.evaluation.shortcuts import Baseline


def evaluation_report(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    groups: Sequence[str],
    class_names: Sequence[str],
    *,
    temperature: float = 1.0,
    baselines: Mapping[str, Baseline] | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> dict[str, Any]:
    """Score slices and patients, the baselines beside them, with nothing left out in silence.

    Args:
        labels: (n,) class index of each slice.
        probabilities: (n, C) of each slice, not calibrated. A refused slice is a row of NaN; a
            refused patient has only such rows, at least one.
        groups: n patient keys.
        class_names: C words; the first is the positive one of two.
        temperature: calibrates the patients' probabilities; slices are scored as they are.
        baselines: for each name, answers for the same n slices.
        repeats: draws of the patient bootstrap.
        seed: of the draws.

    Returns:
        A dict for JSON, without NaN; its keys are those of the module.

    Raises:
        ValueError: if a patient has two labels, or the arrays do not fit together.
    """
    tested = answer_set(labels, probabilities, groups, class_names, temperature=temperature)
    draws = {"repeats": repeats, "seed": seed}
    return {
        "classes": list(tested.classes),
        "absent_classes": [name for i, name in enumerate(class_names) if i not in labels],
        "renormalised": len(tested.classes) < len(class_names),
        "positive_class": tested.classes[0] if len(tested.classes) == 2 else None,
        "interval": {
            "kind": "percentile bootstrap over patients",
            "level": 0.95,
            **draws,
            "remark": _why_no_interval(tested),
        },
        "temperature": temperature,
        **_blocks(tested, draws),
        "patient_ece_by_chance": ece_by_chance(tested.patients.probabilities, **draws),
        "confusion": {"classes": list(tested.classes), **_by_level(tested, _confusion)},
        "counts": _by_level(tested, _counts),
        "coverage": _by_level(tested, _coverage),
        "baselines": {
            name: _baseline_block(tested, baseline, labels, groups, class_names, draws)
            for name, baseline in (baselines or {}).items()
        },
    }


def _why_no_interval(tested: AnswerSet) -> str | None:
    """Names the classes of which a single patient was answered; None where there are none."""
    patients = tested.patients
    answered = is_answered(patients.probabilities)
    groups = [group for group, kept in zip(patients.groups, answered, strict=True) if kept]
    lone = [tested.classes[index] for index in lone_classes(patients.labels[answered], groups)]
    return f"no intervals: one answered patient of {', '.join(lone)}" if lone else None


def _blocks(tested: AnswerSet, draws: Mapping[str, int]) -> dict[str, Any]:
    """The metrics at both levels, over the answered and with refusals as half."""
    blocks: dict[str, Any] = {}
    for level, answers in (("slice", tested.slices), ("patient", tested.patients)):
        blocks[level] = _metrics(answers, tested.classes, draws)
        blocks[f"{level}_refusals_as_half"] = blocks[level]
        if not is_answered(answers.probabilities).all():
            filled = refusals_as_uniform(answers.probabilities)
            as_half = Answers(answers.labels, filled, answers.groups)
            blocks[f"{level}_refusals_as_half"] = _metrics(as_half, tested.classes, draws)
    return blocks


def _metrics(
    answers: Answers, classes: Sequence[str], draws: Mapping[str, int]
) -> dict[str, Interval | Mapping[str, Mapping[str, Interval]]]:
    """One block of metrics, with a block per class where there are more than two."""
    scores = score_with_intervals(
        answers.labels, answers.probabilities, answers.groups, classes, **draws
    )
    return {**scores.metrics, **({"per_class": scores.per_class} if len(classes) > 2 else {})}


def _baseline_block(
    tested: AnswerSet,
    baseline: Baseline,
    labels: NDArray[np.integer],
    groups: Sequence[str],
    class_names: Sequence[str],
    draws: Mapping[str, int],
) -> dict[str, Any]:
    """What a baseline scores on the same slices and patients, and what the network has over it."""
    theirs = answer_set(labels, baseline.probabilities, groups, class_names)
    return {
        "how": baseline.how,
        **_blocks(theirs, draws),
        "coverage": _by_level(theirs, _coverage),
        "patient_auc_gain": _gain(tested.patients, theirs.patients, draws),
    }


def _gain(tested: Answers, theirs: Answers, draws: Mapping[str, int]) -> Interval:
    """AUC over a baseline, refusals as half; undefined over one that has an answer for nobody."""
    if not is_answered(theirs.probabilities).any():
        return undefined()
    return auc_difference(
        tested.labels,
        refusals_as_uniform(tested.probabilities),
        refusals_as_uniform(theirs.probabilities),
        **draws,
    )


def _by_level(tested: AnswerSet, told: Callable[[Answers, Sequence[str]], Any]) -> dict[str, Any]:
    """One fact at both levels."""
    return {
        "slice": told(tested.slices, tested.classes),
        "patient": told(tested.patients, tested.classes),
    }


def _confusion(answers: Answers, classes: Sequence[str]) -> list[list[float]]:
    """Rows are the truth, columns the decision; ints, save where a decision was shared."""
    matrix = score(answers.labels, answers.probabilities, classes).confusion
    return [[int(n) if n == int(n) else round(float(n), 4) for n in row] for row in matrix]


def _counts(answers: Answers, classes: Sequence[str]) -> dict[str, int]:
    """Rows of each class, the refused ones included."""
    return {name: int((answers.labels == index).sum()) for index, name in enumerate(classes)}


def _coverage(answers: Answers, classes: Sequence[str]) -> dict[str, Any]:
    """How many of one level were answered, in all and of each class."""
    answered = is_answered(answers.probabilities)
    in_class = [answered[answers.labels == index] for index in range(len(classes))]
    return {
        **_share(answered),
        "per_class": {name: _share(rows) for name, rows in zip(classes, in_class, strict=True)},
    }


def _share(answered: NDArray[np.bool_]) -> dict[str, float | int | None]:
    """Answered of total, and the fraction; None of nothing."""
    total, count = len(answered), int(answered.sum())
    return {"answered": count, "total": total, "fraction": count / total if total else None}
