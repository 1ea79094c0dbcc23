"""What preprocessing does to a study, in one frozen object that a checkpoint carries with it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from deeppneumonia.errors import ConfigError


class Fill(StrEnum):
    """What stands around the lungs in the network's picture."""

    FILL = "fill"
    """Translated and rotated copies of the lung itself, so that its outline carries no signal."""

    BLACK = "black"
    """Nothing: grey level 0."""


class Intensity(StrEnum):
    """How grey levels of the network's picture come about."""

    WINDOW = "window"
    """The lung window for HU; the picture's own levels, of unknown window, for GREY."""

    LUNG = "lung"
    """Each lung stretched to the same two levels, whatever the window, scanner or kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessConfig:
    """All choices between a volume and the pictures that a network sees."""

    slices: int = 15
    """A scan is divided equally into this many slices; all are used when it has fewer."""

    picture_px: int = 448
    """Side of the network's square picture."""

    window_center_hu: float = -600.0
    """Middle of the lung window, for volumes in HU."""

    window_width_hu: float = 1500.0
    """Full width of the lung window, for volumes in HU."""

    intensity: Intensity = Intensity.WINDOW
    """How grey levels come about."""

    fill: Fill = Fill.FILL
    """What stands around the lungs."""

    fill_copies: int = 10
    """Copies of the lung behind the original, for Fill.FILL."""

    min_lung_fraction: float = 0.04
    """The incomplete-lung rule: a slice is dropped when lung covers less of it than this.

    Of a picture that is already cut to the lung the size of the slice is unknown; there the lung
    is counted against a slice of 512 x 512 pixels, the matrix of practically every CT.
    """

    def __post_init__(self) -> None:
        if self.slices < 1:
            raise ValueError(f"slices must be 1 or more, not {self.slices}")
        if self.picture_px < 32:
            raise ValueError(f"picture_px must be 32 or more, not {self.picture_px}")
        if self.window_width_hu <= 1:
            raise ValueError(f"window_width_hu must be more than 1, not {self.window_width_hu}")
        if self.fill_copies < 1:
            raise ValueError(f"fill_copies must be 1 or more, not {self.fill_copies}")
        if not 0 <= self.min_lung_fraction < 1:
            raise ValueError(f"min_lung_fraction must be 0 to 1, not {self.min_lung_fraction}")

    def to_dict(self) -> dict[str, str | int | float]:
        """Plain values for JSON; `from_dict` makes the same config of them."""
        plain: dict[str, str | int | float] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            plain[item.name] = value.value if isinstance(value, StrEnum) else value
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "PreprocessConfig":
        """The config that these values describe; what is missing keeps its default.

        Raises:
            ConfigError: for an unknown key or an impossible value.
        """
        known = {item.name: item for item in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(
                f"Unknown preprocessing setting {', '.join(unknown)}; "
                f"known settings are {', '.join(known)}."
            )
        try:
            return replace(
                cls(), **{name: _typed(known[name].type, values[name]) for name in values}
            )
        except (TypeError, ValueError) as error:
            raise ConfigError(f"Impossible preprocessing setting: {error}.") from error


def _typed(kind: object, value: object) -> Any:
    """`value` as the type of its field; ValueError or TypeError when it cannot be that."""
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(str(value))
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise TypeError(f"{value!r} is not {kind}")
