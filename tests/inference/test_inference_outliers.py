"""Patients unlike those of training are told apart, and what a checkpoint keeps survives it."""

import json

import numpy as np
import pytest

from deeppneumonia.checkpoint import CheckpointMetadata, Thresholds
from deeppneumonia.domain import ClassSet, QualityFlag, Status
from deeppneumonia.errors import CheckpointError
from deeppneumonia.inference import FeatureStatistics, fit_statistics, judge, statistics_of
from deeppneumonia.inference.trust import distance_flags
from deeppneumonia.preprocessing import PreprocessConfig

RNG = np.random.default_rng(0)
SPREAD = np.concatenate([np.full(5, 4.0), np.full(59, 0.5)])


def people(count: int, shift: float = 0.0) -> tuple[np.ndarray, list[str]]:
    """Two slices each of people whose features vary along five directions."""
    who = RNG.normal(0, SPREAD, (count, 64)) + shift
    slices = np.repeat(who, 2, axis=0) + RNG.normal(0, 0.1, (2 * count, 64))
    return slices, [f"p{number // 2}" for number in range(2 * count)]


@pytest.fixture(scope="module")
def statistics() -> FeatureStatistics:
    return fit_statistics(*people(120), *people(99))


def test_98_of_100_further_patients_lie_within_the_limit(statistics: FeatureStatistics) -> None:
    features, _ = people(600)
    far = [statistics.distance(features[row : row + 2]).is_far for row in range(0, 1200, 2)]
    assert 0 < np.mean(far) < 0.06  # 0.02, give or take what 99 held-out patients can tell


def test_a_shift_that_no_patient_has_is_far_and_a_typical_patient_is_near_1(
    statistics: FeatureStatistics,
) -> None:
    strange, _ = people(20, shift=3.0)
    assert all(statistics.distance(strange[row : row + 2]).is_far for row in range(0, 40, 2))
    usual, _ = people(100)
    values = [statistics.distance(usual[row : row + 2]).value for row in range(0, 200, 2)]
    assert np.median(values) == pytest.approx(1, abs=0.1)


def test_directions_in_which_people_differ_count_less(statistics: FeatureStatistics) -> None:
    along, beside = np.zeros((1, 64)), np.zeros((1, 64))
    along[0, 0], beside[0, 20] = 4, 4
    mean = statistics.mean
    assert statistics.distance(mean + beside).value > 3 * statistics.distance(mean + along).value


def test_statistics_survive_json_and_are_small(statistics: FeatureStatistics) -> None:
    text = json.dumps(statistics.to_json())
    again = FeatureStatistics.from_json(json.loads(text))
    features, _ = people(1)
    # 1e-3: the mean and the deviations are kept in float32, the directions in float16.
    assert again.distance(features).value == pytest.approx(
        statistics.distance(features).value, rel=1e-3
    )
    many, few = RNG.normal(size=(60, 2048)), RNG.normal(size=(9, 2048))
    wide = fit_statistics(many, [str(number) for number in range(60)], few, ["a"] * 9)
    assert len(json.dumps(wide.to_json())) < 250_000


def test_a_patient_that_gives_no_number_is_far(statistics: FeatureStatistics) -> None:
    assert statistics.distance(np.full((1, 64), np.nan)).is_far


def test_features_that_never_vary_do_not_divide_by_zero() -> None:
    found = fit_statistics(np.ones((6, 8)), list("aabbcc"), np.ones((2, 8)), ["x", "y"])
    assert found.distance(np.full((1, 8), 2.0)).is_far


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(ValueError, match="3 training patients and 1 other"):
        fit_statistics(np.ones((4, 8)), list("aabb"), np.ones((2, 8)), ["x", "y"])


def metadata(ood: dict[str, object] | None) -> CheckpointMetadata:
    return CheckpointMetadata(
        model="resnet18", classes=ClassSet(("a", "b")), preprocessing=PreprocessConfig(), ood=ood
    )


def test_a_checkpoint_without_statistics_says_so_and_does_not_crash() -> None:
    assert statistics_of(metadata(None)) is None
    (flag,) = distance_flags(None)
    assert flag.code == "no_ood_statistics" and not flag.blocks and not flag.leaves_open


@pytest.mark.parametrize("ood", [{}, {"kind": "other"}, {"kind": "gaussian-1", "mean": "!"}])
def test_spoilt_statistics_are_refused_by_name(ood: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="statistics of training patients"):
        statistics_of(metadata(ood))


def test_a_doubt_leaves_a_clear_lead_open_with_its_reason() -> None:
    flags = [QualityFlag("contrast_medium", "There is contrast medium.", leaves_open=True)]
    answer = judge({"covid": 0.99, "healthy": 0.01}, flags, Thresholds())
    assert answer.status is Status.INDETERMINATE
    assert answer.reasons == ("There is contrast medium.",)
