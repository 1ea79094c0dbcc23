"""When to answer, and when to say that there is no answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deeppneumonia.checkpoint import CheckpointMetadata, Thresholds
from deeppneumonia.domain import QualityFlag, Status, title_of
from deeppneumonia.errors import CheckpointError
from deeppneumonia.inference.outliers import Distance, FeatureStatistics

NO_STATISTICS = QualityFlag(
    "no_ood_statistics",
    "This model keeps no statistics of its training patients: whether the study is like them was "
    "not checked.",
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """How far an answer may be trusted."""

    status: Status
    reasons: tuple[str, ...]


def judge(
    probabilities: Mapping[str, float], flags: Sequence[QualityFlag], thresholds: Thresholds
) -> Judgement:
    """Refuse on failed quality, leave doubtful answers open, and let the rest through.

    Args:
        probabilities: the patient's calibrated probabilities.
        flags: everything noticed about the study; one that `blocks` forbids any probability, one
            that `leaves_open` any diagnosis.
        thresholds: the checkpoint's, chosen on validation patients.
    """
    blocking = tuple(flag.message for flag in flags if flag.blocks)
    if blocking:
        return Judgement(Status.REFUSED, blocking)
    doubts = [flag.message for flag in flags if flag.leaves_open]
    leading = max(probabilities, key=lambda label: probabilities[label])
    if not probabilities[leading] >= thresholds.confidence:  # NaN is no answer
        given, level = _told_apart(probabilities[leading], thresholds.confidence)
        doubts.append(
            f"The leading answer, {title_of(leading)}, has a probability of {given}; below "
            f"{level} this model was not reliable on its validation patients."
        )
    return Judgement(Status.INDETERMINATE if doubts else Status.DIAGNOSED, tuple(doubts))


def _told_apart(one: float, other: float) -> tuple[str, str]:
    """Both in per cent, with as many decimals as it takes to see that they differ, at most 9."""
    shown = ((f"{one:.{digits}%}", f"{other:.{digits}%}") for digits in range(9))
    return next((pair for pair in shown if pair[0] != pair[1]), (f"{one:.9%}", f"{other:.9%}"))


def statistics_of(metadata: CheckpointMetadata) -> FeatureStatistics | None:
    """The statistics of a checkpoint's training patients; None where it keeps none.

    Raises:
        CheckpointError: if they cannot be read.
    """
    if metadata.ood is None:
        return None
    try:
        return FeatureStatistics.from_json(metadata.ood)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The statistics of training patients in this checkpoint cannot be used ({error}): "
            f"the file was edited or made by another version. Fit them again, or install it again."
        ) from error


def distance_flags(distance: Distance | None) -> tuple[QualityFlag, ...]:
    """What a patient's distance from the training patients means; None is not known."""
    if distance is None:
        return (NO_STATISTICS,)
    if not distance.is_far:
        return ()
    message = (
        f"Inside the network this study looks unlike the patients it was trained on: distance "
        f"{distance.value:.2f}, where 1 is typical and {distance.limit:.2f} is the limit."
    )
    return (QualityFlag("unlike_training", message, leaves_open=True),)
