"""A probability as a bar in a PDF table."""

from reportlab.lib.colors import HexColor
from reportlab.platypus import Flowable

from deeppneumonia.reports.palette import RULE

BAR_HEIGHT = 6.0


class ProbabilityBar(Flowable):  # type: ignore[misc]  # reportlab has no types
    """As wide as its cell, filled as far as the probability goes."""

    def __init__(self, probability: float, colour: str) -> None:
        super().__init__()
        self.probability = probability
        self.colour = colour

    def wrap(self, available_width: float, _: float) -> tuple[float, float]:
        self.width, self.height = available_width, BAR_HEIGHT
        return available_width, BAR_HEIGHT

    def draw(self) -> None:
        canvas = self.canv
        canvas.setFillColor(HexColor(RULE))
        canvas.rect(0, 0, self.width, self.height, stroke=0, fill=1)
        canvas.setFillColor(HexColor(self.colour))
        canvas.rect(0, 0, self.width * self.probability, self.height, stroke=0, fill=1)
