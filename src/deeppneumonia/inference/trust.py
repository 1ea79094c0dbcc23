"""When to answer, and when to say that there is no answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deeppneumonia.checkpoint import Thresholds
from deeppneumonia.domain import QualityFlag, Status, title_of


@dataclass(frozen=True, slots=True)
class Judgement:
    """How far an answer may be trusted."""

    status: Status
    reasons: tuple[str, ...]


def judge(
    probabilities: Mapping[str, float], flags: Sequence[QualityFlag], thresholds: Thresholds
) -> Judgement:
    """Refuse on failed quality, call a weak lead indeterminate, and let the rest through.

    Args:
        probabilities: the patient's calibrated probabilities.
        flags: everything noticed about the study; one that `blocks` forbids any probability.
        thresholds: the checkpoint's, chosen on validation patients.
    """
    blocking = tuple(flag.message for flag in flags if flag.blocks)
    if blocking:
        return Judgement(Status.REFUSED, blocking)
    leading = max(probabilities, key=lambda label: probabilities[label])
    if probabilities[leading] < thresholds.confidence:
        return Judgement(
            Status.INDETERMINATE,
            (
                f"The leading answer, {title_of(leading)}, has a probability of "
                f"{probabilities[leading]:.0%}; below {thresholds.confidence:.0%} this model was "
                f"not reliable on its validation patients.",
            ),
        )
    return Judgement(Status.DIAGNOSED, ())
