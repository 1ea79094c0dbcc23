"""Six grey-level statistics on the folds of a comparison: the line that every network must beat."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.datasets import Manifest, SliceEntry
from deeppneumonia.domain import ClassSet
from deeppneumonia.errors import TrainingError
from deeppneumonia.evaluation import (
    aggregate_by_patient,
    calibrate,
    fit_temperature,
    six_statistics_baseline,
)
from deeppneumonia.evaluation.calibration import SENSITIVITIES
from deeppneumonia.evaluation.patients import is_answered
from deeppneumonia.files import write_whole
from deeppneumonia.reports.wording import counted
from deeppneumonia.workflows.calibration import operating_levels
from deeppneumonia.workflows.comparison_plan import SIX_STATISTICS
from deeppneumonia.workflows.comparison_store import TESTED, Turn, write_answers
from deeppneumonia.workflows.comparison_turns import Bench
from deeppneumonia.workflows.scored import as_exported, slice_statistics
from deeppneumonia.workflows.train import commit


@dataclass(frozen=True, slots=True)
class MeasuredSet:
    """Every slice of a manifest with its statistics."""

    entries: tuple[SliceEntry, ...]
    """The refused ones included."""

    statistics: NDArray[np.float64]
    """(n, 6); NaN where there is no picture."""

    def labels(self, classes: ClassSet) -> NDArray[np.int64]:
        """(n,) class indices."""
        return np.array([classes.index(entry.label) for entry in self.entries])

    def where(self, chosen: NDArray[np.bool_]) -> "MeasuredSet":
        """Some of the slices."""
        entries = tuple(entry for entry, kept in zip(self.entries, chosen, strict=True) if kept)
        return MeasuredSet(entries, self.statistics[chosen])

    def of_rows(self, manifest: Manifest, rows: NDArray[np.intp]) -> "MeasuredSet":
        """The slices of some rows of the manifest."""
        lines = {manifest.rows[row].line for row in rows}
        return self.where(np.array([entry.line in lines for entry in self.entries]))


def answer_by_statistics(bench: Bench) -> None:
    """Take every turn that has not been taken, for all sets; the forest is fitted like a network.

    It learns from the training patients, its temperature comes from the validation patients, and
    the tested and external ones choose nothing. It sees the pictures as the hospital made them.
    """
    missing = [turn for turn in bench.turns if not _is_taken(bench, turn)]
    if not missing:
        return
    sets = {
        name: _measured(bench, manifest)
        for name, manifest in {TESTED: bench.manifest, **bench.external}.items()
    }
    for turn in missing:
        _take(bench, turn, sets)
    bench.announce(f"{SIX_STATISTICS}: {counted(len(missing), 'fold')} fitted")


def _is_taken(bench: Bench, turn: Turn) -> bool:
    sets = [bench.answers_of(SIX_STATISTICS, turn, name) for name in (TESTED, *bench.external)]
    return bench.facts_of(SIX_STATISTICS, turn).exists() and all(path.exists() for path in sets)


def _measured(bench: Bench, manifest: Manifest) -> MeasuredSet:
    config = bench.plan.contenders[0].recipe.preprocessing
    cache = bench.cache_of(manifest, as_exported(config))
    return MeasuredSet(cache.index, slice_statistics(cache))


def _take(bench: Bench, turn: Turn, sets: Mapping[str, MeasuredSet]) -> None:
    classes, fold = bench.plan.classes, bench.fold_of(turn)
    everybody = sets[TESTED]
    learned = everybody.of_rows(bench.manifest, fold.train)
    validating = everybody.of_rows(bench.manifest, fold.validation)
    tested = everybody.of_rows(bench.manifest, fold.test)
    asked = {**sets, TESTED: tested}
    together = np.concatenate(
        [validating.statistics, *(measured.statistics for measured in asked.values())]
    )
    forest = six_statistics_baseline(
        learned.statistics,
        learned.labels(classes),
        together,
        classes=len(classes),
        seed=turn.repeat,
    )
    answers = iter(
        np.split(
            forest.probabilities,
            np.cumsum([len(validating.entries), *(len(one.entries) for one in asked.values())]),
        )
    )
    temperature, points = _calibrated(validating, next(answers), classes, turn)
    for name, measured in asked.items():
        path = bench.answers_of(SIX_STATISTICS, turn, name)
        write_answers(path, (name, turn), classes.labels, measured.entries, next(answers))
    facts = {
        "repeat": turn.repeat,
        "fold": turn.fold,
        "model": forest.how,
        "temperature": temperature,
        "operating_points": points,
        "commit": commit(),
    }
    facts_file = bench.facts_of(SIX_STATISTICS, turn)
    write_whole(facts_file, json.dumps(facts, indent=1, allow_nan=False))


def _calibrated(
    validating: MeasuredSet, answers: NDArray[np.float64], classes: ClassSet, turn: Turn
) -> tuple[float, list[float | None]]:
    """Temperature and operating points, from the answers (n, C) about the validation patients."""
    groups = [entry.patient_id for entry in validating.entries]
    patients = aggregate_by_patient(validating.labels(classes), answers, groups)
    answered = is_answered(patients.probabilities)
    if not answered.any():
        raise TrainingError(
            f"No picture of the {len(answered)} patients that validate fold {turn.fold} can be "
            f"used: see why with `deeppneumonia prepare`. The first says: "
            f"{validating.entries[0].reason}"
        )
    labels, probabilities = patients.labels[answered], patients.probabilities[answered]
    temperature = fit_temperature(labels, probabilities)
    levels = operating_levels(labels, calibrate(probabilities, temperature))
    points = {level.target: level.threshold for level in levels}
    return temperature, [points.get(target) for target in SENSITIVITIES]
