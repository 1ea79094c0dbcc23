"""The words for a diagnosis, and the ordered set of them that one network knows."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Diagnosis(StrEnum):
    """The three diagnoses of the published task; a task may name other labels, as plain words."""

    COVID = "covid"
    BACTERIAL = "bacterial"
    HEALTHY = "healthy"


TITLES: Mapping[str, str] = {
    Diagnosis.COVID: "COVID-19 pneumonia",
    Diagnosis.BACTERIAL: "bacterial pneumonia",
    Diagnosis.HEALTHY: "no pneumonia (healthy lung)",
}


def title_of(label: str) -> str:
    """The label in words for a report; an unknown label stands for itself."""
    return TITLES.get(label, label)


def spelled(word: str) -> str:
    """One spelling for what looks the same: some systems write é as an e and an accent, by which
    one patient, label or site would become two."""
    return unicodedata.normalize("NFC", word)


@dataclass(frozen=True, slots=True)
class ClassSet:
    """The labels that a network tells apart, in the order of its outputs."""

    labels: tuple[str, ...]
    """Two or more different words, as `spelled` has them; position i is output i."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(map(spelled, self.labels)))
        if len(self.labels) < 2:
            raise ValueError(f"a class set needs two labels or more, not {self.labels}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels must differ, not {self.labels}")
        if any(not label or label != label.strip() for label in self.labels):
            raise ValueError(f"labels must be words without outer spaces, not {self.labels}")

    def __len__(self) -> int:
        return len(self.labels)

    def index(self, label: str) -> int:
        """The output that stands for this label; ValueError names the known ones."""
        if label not in self.labels:
            raise ValueError(f"unknown label {label!r}; known labels are {', '.join(self.labels)}")
        return self.labels.index(label)

    def named(self, values: Sequence[float]) -> dict[str, float]:
        """Values in the order of the outputs, as a mapping from label to value."""
        return {label: float(value) for label, value in zip(self.labels, values, strict=True)}
