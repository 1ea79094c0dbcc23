"""The colours of the report, chosen to be told apart by every reader, on paper and on screen.

Source: Okabe and Ito, Color Universal Design (2008); for dark pages lightened to keep contrast.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClassColour:
    """One class, on a light and on a dark page."""

    light: str
    dark: str


CLASS_COLOURS = (
    ClassColour("#b84e00", "#f0914d"),  # vermilion
    ClassColour("#0072b2", "#5ab4ec"),  # blue
    ClassColour("#00815f", "#3ec9a0"),  # bluish green
    ClassColour("#9c4f7e", "#dd9ac2"),  # reddish purple
    ClassColour("#8a6a00", "#e6b93a"),  # orange to ochre
    ClassColour("#4d4d4d", "#b8b8b8"),  # grey
)

INK, QUIET, RULE, PAPER_TINT = "#1b1e23", "#5a616b", "#d5d9de", "#f4f5f7"
NOTICE, NOTICE_TINT = "#7a4a00", "#fdf3df"

BOX_RGB = (86, 180, 233)
"""Sky blue: unlike every colour of the heat map, and unlike grey."""


def class_colour(position: int) -> ClassColour:
    """The colour of the class at this position of the checkpoint's classes."""
    return CLASS_COLOURS[position % len(CLASS_COLOURS)]
