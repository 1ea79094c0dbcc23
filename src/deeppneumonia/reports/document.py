"""What a report says, in radiology's order, before anything decides how it looks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deeppneumonia.domain import Status, Volume, title_of
from deeppneumonia.reports.wording import as_percent, capitalised, in_words

DISCLAIMER = "Research software, not a medical device"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContext:
    """What a report has to know beside the diagnosis itself."""

    version: str
    """Of this software."""

    created: datetime
    """When the report was made, in the time zone that it is to be read in."""

    release: str = ""
    """The name under which the model was released; empty for any other checkpoint."""

    volume: Volume | None = None
    """The series that was read; None when the study could not be read."""

    about: tuple[Path, ...] = ()
    """Without a volume: the DICOM files that a refusal refers to, if they are known."""

    detail_level: float | None = None
    """How strongly a detail alone has to speak for its slice's disease to be drawn; None when the
    model states no level. It is no weight: that is a detail's share, and may be far smaller."""

    trained_on: tuple[str, ...] = ()
    """Whole sentences: which patients the model learned from, and how it was tested."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a table: what, and how much."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class ProbabilityLine:
    """One class and what the model gives it."""

    label: str
    position: int
    """Among the classes of the checkpoint; its colour follows from it."""

    title: str
    probability: float
    percent: str
    words: str
    """On the verbal scale; empty where the number is not to be leaned on."""


@dataclass(frozen=True, slots=True)
class DetailLine:
    """One box on a key slice."""

    number: int
    """1 is the strongest; the number stands at the box."""

    weight: str
    place: str
    """Side of the patient; empty when the orientation is not known."""


@dataclass(frozen=True, slots=True)
class KeyFinding:
    """One key slice in words."""

    slice_index: int
    title: str
    position: str
    """Where it lies in the patient, in mm; empty when that is not known."""

    probabilities: tuple[ProbabilityLine, ...]
    details: tuple[DetailLine, ...]
    details_caption: str
    heat_title: str
    """The class that the heat map speaks for; empty when there is no map."""

    heat_caption: str
    alt: str
    """The picture in one sentence, for a person who cannot see it."""


@dataclass(frozen=True, slots=True)
class SliceLine:
    """One examined slice: its probabilities, or why it has none."""

    slice_index: int
    probabilities: tuple[ProbabilityLine, ...]
    details: int
    dropped_because: str = ""
    is_key: bool = False


@dataclass(frozen=True, slots=True)
class Impression:
    """The answer, or why there is none."""

    headline: str
    sentences: tuple[str, ...]
    reasons: tuple[str, ...]
    probabilities: tuple[ProbabilityLine, ...]
    """The most likely first; empty on a refusal."""


@dataclass(frozen=True, slots=True)
class FlagLine:
    """One thing about quality that a reader has to know."""

    code: str
    message: str
    blocks: bool


@dataclass(frozen=True, slots=True)
class PictureGeometry:
    """How the pictures lie in the patient."""

    row_mm: float
    column_mm: float
    left: str
    """The patient's side at the left edge of the picture: `R`, as a rule."""

    right: str
    top: str
    bottom: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDocument:
    """Everything that the page, the PDF and the DICOM report say, in this order."""

    title: str
    disclaimer: str
    status: Status
    created: str
    technique: tuple[Fact, ...]
    findings: tuple[str, ...]
    key_findings: tuple[KeyFinding, ...]
    slices: tuple[SliceLine, ...]
    """All examined slices, in the order of the series; empty on a refusal."""

    ends: tuple[str, str]
    """What lies at the lowest and at the highest index: feet and head, where that is known."""

    slice_count: int
    """Slices of the series; 0 when it could not be read."""

    chart_caption: str
    impression: Impression
    flags: tuple[FlagLine, ...]
    quality_remark: str
    """What stands under Quality when there is no flag."""

    trust: tuple[Fact, ...]
    """What was checked, and what was found; empty where the study could not be read."""

    limits: tuple[str, ...]
    provenance: tuple[Fact, ...]
    geometry: PictureGeometry | None
    """None when place and size in the patient are not known; then no side is named."""


def ranked_lines(probabilities: Mapping[str, float]) -> tuple[ProbabilityLine, ...]:
    """One line per class, the most likely first.

    Args:
        probabilities: in the order of the checkpoint's classes.
    """
    lines = (
        ProbabilityLine(
            label, position, capitalised(title_of(label)), value, as_percent(value), in_words(value)
        )
        for position, (label, value) in enumerate(probabilities.items())
    )
    return tuple(sorted(lines, key=lambda line: -line.probability))
