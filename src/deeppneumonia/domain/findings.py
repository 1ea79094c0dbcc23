"""What was cut out of a study, what a network said about it, and what that means for a patient."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain.volume import QualityFlag

ONE_LUNG_SHARE = 0.05
"""With less of the lung than this on one side of the picture, one lung is missing."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels: x to the right, y down; (x0, y0) inside, (x1, y1) just outside."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise ValueError(f"a box needs x0 < x1 and y0 < y1, not {self}")

    def clipped(self, rows: int, columns: int) -> "Box | None":
        """The part inside a (rows, columns) picture; None when nothing is left."""
        x0, y0 = max(self.x0, 0.0), max(self.y0, 0.0)
        x1, y1 = min(self.x1, float(columns)), min(self.y1, float(rows))
        return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


@dataclass(frozen=True, slots=True)
class PictureFrame:
    """Where the network's picture lies in its source slice: source = picture * scale + offset."""

    x_scale: float
    """Source columns per picture pixel."""

    y_scale: float
    """Source rows per picture pixel; equal to `x_scale` where source pixels are square."""

    x_offset: float
    """Source column of the picture's left edge; negative where the picture was padded."""

    y_offset: float
    """Source row of the picture's top edge."""

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(2, 3), for OpenCV: from the middle of a picture pixel to its place in the slice."""
        # OpenCV counts from the middle of the first pixel, this frame from its edge.
        right = self.x_offset + (self.x_scale - 1) / 2
        down = self.y_offset + (self.y_scale - 1) / 2
        return np.array([[self.x_scale, 0, right], [0, self.y_scale, down]])

    def to_source(self, box: Box) -> Box:
        """A box in picture pixels, moved into source pixels."""
        return Box(
            box.x0 * self.x_scale + self.x_offset,
            box.y0 * self.y_scale + self.y_offset,
            box.x1 * self.x_scale + self.x_offset,
            box.y1 * self.y_scale + self.y_offset,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LungSlice:
    """One slice, cut to its lungs and ready for a network."""

    slice_index: int
    """Position in the volume, 0 at the feet."""

    picture: NDArray[np.uint8]
    """(side, side): the network's picture, background filled."""

    grey: NDArray[np.uint8]
    """(rows, columns): the whole source slice in the lung window, for people to look at."""

    lung_mask: NDArray[np.bool_]
    """(rows, columns): the lungs in the source slice."""

    frame: PictureFrame
    """How to get from picture to source pixels."""

    lung_fraction: float
    """Share of the source slice that is lung, 0 to 1."""

    @property
    def shows_one_lung(self) -> bool:
        """Whether all lung lies on one side of the slice's middle."""
        left = float(self.lung_mask[:, : self.lung_mask.shape[1] // 2].sum())
        share = left / float(self.lung_mask.sum())
        return min(share, 1 - share) < ONE_LUNG_SHARE


@dataclass(frozen=True, slots=True)
class Detail:
    """A place that the network looked at more closely."""

    box: Box
    """In source pixels."""

    weight: float
    """How much it counted, 0 to 1, on the model's stated scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePrediction:
    """One model's opinion of one axial slice."""

    slice_index: int
    """Position in the volume, 0 at the feet."""

    probabilities: Mapping[str, float]
    """One value per class of the checkpoint, as the network gave them; together they make 1."""

    details: tuple[Detail, ...] = ()
    """Only those that alone speak for the answer at the model's stated level or above; empty is
    an honest answer."""

    def __post_init__(self) -> None:
        check_probabilities(self.probabilities)


@dataclass(frozen=True, slots=True)
class SaliencyMap:
    """Where the evidence for one class lies in one slice."""

    slice_index: int
    label: str
    """The class that the map speaks for."""

    heat: NDArray[np.float32]
    """(rows, columns) of the source slice, 0 (none) to 1 (most)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySlice:
    """One of the most suspicious slices, with everything that is drawn on it."""

    prediction: SlicePrediction
    grey: NDArray[np.uint8]
    """(rows, columns): the source slice in the lung window."""

    lung_mask: NDArray[np.bool_]
    """(rows, columns)."""

    saliency: SaliencyMap | None
    """None when the network gives none; then nothing is drawn."""


class Status(StrEnum):
    """How a study ended."""

    DIAGNOSED = "diagnosed"
    INDETERMINATE = "indeterminate"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which network gave an answer, so that the answer can be made again."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientDiagnosis:
    """The answer to one study."""

    status: Status
    reasons: tuple[str, ...]
    """Why it was refused or is indeterminate; empty for a plain diagnosis."""

    probabilities: Mapping[str, float]
    """Calibrated; empty when refused."""

    diagnosis: str | None
    """The most likely label; None unless status is diagnosed."""

    slices: tuple[SlicePrediction, ...]
    key_slices: tuple[int, ...]
    """Slice indices, the most suspicious first; at most three."""

    flags: tuple[QualityFlag, ...]
    """What to know about the quality of the study and of its preprocessing."""

    quality: Mapping[str, object]
    """Facts for the record: series used and why, spacing, slices kept and dropped, lung volume."""

    model: ModelIdentity
    timing_s: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status is Status.REFUSED:
            if self.probabilities or self.diagnosis or not self.reasons:
                raise ValueError("a refusal has reasons, and neither probabilities nor a diagnosis")
            return
        check_probabilities(self.probabilities)
        if (self.diagnosis is not None) != (self.status is Status.DIAGNOSED):
            raise ValueError("a diagnosis is named exactly when the status is diagnosed")


def check_probabilities(probabilities: Mapping[str, float]) -> None:
    """ValueError unless all values are 0 to 1 and add up to 1 (1e-4: float32 softmax)."""
    total = sum(probabilities.values())
    # Asked so that NaN, which compares as false with everything, does not pass.
    if not (abs(total - 1) <= 1e-4 and all(value >= 0 for value in probabilities.values())):
        raise ValueError(f"probabilities must be positive and add up to 1, not {total:.4f}")
