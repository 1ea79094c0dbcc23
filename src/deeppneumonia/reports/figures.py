"""Key slices as pictures: the slice as it is, and beside it what the network used of it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from deeppneumonia.domain import Box, KeySlice
from deeppneumonia.reports.chest_part import chest_part
from deeppneumonia.reports.document import KeyFinding, PictureGeometry
from deeppneumonia.reports.lettering import drawable, many_scripts_file
from deeppneumonia.reports.palette import BOX_RGB

PANEL_PX = 640
"""Longer side of one panel."""

GAP_PX, STRIP_PX, MARGIN_PX, MIN_CELL_PX = 8, 64, 14, 640
PAPER, TEXT, SOFT_TEXT, WARNING = (12, 13, 15), (235, 237, 240), (165, 171, 179), (255, 196, 87)
BURNT_IN = "AI - not for diagnosis"
STRONGEST_TINT = 0.6
"""Opacity of the hottest place: the lung stays visible beneath it."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Size of one panel, and how many of its pixels one source pixel fills."""

    width: int
    height: int
    per_column: float
    per_row: float

    @property
    def cell(self) -> int:
        """Width that the panel takes on the sheet; a narrow one leaves room for its legend."""
        return max(self.width, MIN_CELL_PX) + GAP_PX


def draw_key_slice(
    key: KeySlice, finding: KeyFinding, geometry: PictureGeometry | None
) -> NDArray[np.uint8]:
    """Two panels over a legend, as (height, width, 3) RGB.

    Left the slice in the lung window; right the same slice under its heat map, with one box for
    each detail. Where the heat is 0 the right panel is the left one, pixel by pixel. A slice far
    wider than a chest is cut to the chest.
    """
    key = chest_part(key, geometry)
    panel = _panel(key.grey.shape, geometry)
    plain = _enlarged(key.grey, panel)
    tinted = _with_heat(plain, key, panel)
    picture = Image.new("RGB", (2 * panel.cell - GAP_PX, panel.height + STRIP_PX), PAPER)
    picture.paste(Image.fromarray(plain), (0, 0))
    picture.paste(Image.fromarray(tinted), (panel.cell, 0))
    draw = ImageDraw.Draw(picture)
    for left in (0, panel.cell):
        _frame(draw, left, panel, geometry)
    _boxes(draw, key, panel, panel.cell)
    _legend(draw, finding, panel)
    if finding.heat_title:
        picture.paste(Image.fromarray(_colour_bar()), (panel.cell + MARGIN_PX, panel.height + 42))
    return np.asarray(picture)


def to_png(picture: NDArray[np.uint8]) -> bytes:
    """A (height, width, 3) RGB picture as the bytes of a PNG file."""
    done, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError("the picture could not be encoded as PNG")
    return encoded.tobytes()


def heat_colours(heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Heat of any 2-D shape, 0 to 1, in inferno's even steps without its black, as RGB."""
    levels = np.round(70 + 185 * heat.clip(0, 1)).astype(np.uint8)
    coloured = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
    return np.asarray(coloured[:, :, ::-1], np.uint8)


def _panel(shape: tuple[int, ...], geometry: PictureGeometry | None) -> Panel:
    rows, columns = shape
    row_mm, column_mm = (geometry.row_mm, geometry.column_mm) if geometry else (1.0, 1.0)
    per_mm = PANEL_PX / max(rows * row_mm, columns * column_mm)
    width = max(round(columns * column_mm * per_mm), 1)
    height = max(round(rows * row_mm * per_mm), 1)
    return Panel(width, height, width / columns, height / rows)


def _enlarged(grey: NDArray[np.uint8], panel: Panel) -> NDArray[np.uint8]:
    shrinks = panel.per_column < 1 or panel.per_row < 1
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    resized = cv2.resize(grey, (panel.width, panel.height), interpolation=method)
    return np.repeat(resized[:, :, None], 3, axis=2)


def _with_heat(plain: NDArray[np.uint8], key: KeySlice, panel: Panel) -> NDArray[np.uint8]:
    if key.saliency is None:
        return plain
    heat = cv2.resize(
        key.saliency.heat, (panel.width, panel.height), interpolation=cv2.INTER_LINEAR
    ).clip(0, 1)
    alpha = (STRONGEST_TINT * heat)[:, :, None]
    return np.round(plain * (1 - alpha) + heat_colours(heat) * alpha).astype(np.uint8)


def _font(size: int, text: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, whose letters are ASCII, or one with those of more scripts."""
    if text.isascii():
        return ImageFont.load_default(size)
    return ImageFont.truetype(many_scripts_file(), 0.88 * size)  # so that letters are as large


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    *,
    anchor: str = "la",
    size: int = 17,
    colour: tuple[int, int, int] = TEXT,
) -> None:
    font = _font(size, text)
    draw.text(at, text, fill=colour, font=font, anchor=anchor, stroke_width=2, stroke_fill=PAPER)


def _frame(
    draw: ImageDraw.ImageDraw, left: int, panel: Panel, geometry: PictureGeometry | None
) -> None:
    """The warning, and, where they are known, the patient's sides and a scale."""
    _write(draw, (left + MARGIN_PX, 10), BURNT_IN, colour=WARNING)
    if geometry is None:
        return
    right, middle = left + panel.width, panel.height / 2
    _write(draw, (left + MARGIN_PX, middle), geometry.left, anchor="lm", size=22)
    _write(draw, (right - MARGIN_PX, middle), geometry.right, anchor="rm", size=22)
    _write(draw, (left + panel.width / 2, 10), geometry.top, anchor="ma", size=22)
    _scale_bar(draw, right - MARGIN_PX, panel, geometry)


def _scale_bar(
    draw: ImageDraw.ImageDraw, right: int, panel: Panel, geometry: PictureGeometry
) -> None:
    length = round(50 / geometry.column_mm * panel.per_column)
    if length > panel.width // 2:
        return
    y = panel.height - 16
    draw.rectangle((right - length - 1, y - 1, right + 1, y + 4), fill=PAPER)
    draw.rectangle((right - length, y, right, y + 3), fill=TEXT)
    _write(draw, (right - length / 2, y - 6), "50 mm", anchor="ms", size=15)


def _boxes(draw: ImageDraw.ImageDraw, key: KeySlice, panel: Panel, left: int) -> None:
    taken: list[tuple[float, float, float, float]] = []
    placed = []
    for number, detail in enumerate(key.prediction.details, start=1):
        x0, y0, x1, y1 = _in_panel(detail.box, panel, left)
        draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=PAPER, width=5)
        draw.rectangle((x0, y0, x1, y1), outline=BOX_RGB, width=3)
        placed.append((number, detail.weight, (x0, y0, x1, y1)))
    for number, weight, corners in placed:  # above all boxes, so that every number is legible
        text = f"{number}: {weight:.2f}"
        font = _font(16, text)
        chip = _free_place(corners, (draw.textlength(text, font) + 10, 22), panel, left, taken)
        taken.append(chip)
        draw.rectangle(chip, fill=BOX_RGB)
        draw.text((chip[0] + 5, chip[1] + 11), text, fill=PAPER, font=font, anchor="lm")


def _in_panel(box: Box, panel: Panel, left: int) -> tuple[int, int, int, int]:
    """Corners in panel pixels, kept inside the panel so that no side of a box is lost."""
    x0, x1 = (min(max(round(x * panel.per_column), 1), panel.width - 2) for x in (box.x0, box.x1))
    y0, y1 = (min(max(round(y * panel.per_row), 1), panel.height - 2) for y in (box.y0, box.y1))
    return left + x0, y0, left + max(x1, x0), max(y1, y0)


def _free_place(
    corners: tuple[int, int, int, int],
    size: tuple[float, float],
    panel: Panel,
    left: int,
    taken: list[tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
    """Where a number can stand at its box, off the numbers already there if there is room."""
    (x0, y0, x1, y1), (width, height) = corners, size
    places = [(x, y) for y in (y0 - height, y1, y0, y1 - height) for x in (x0, x1 - width)]
    chips = [
        (
            min(max(x, left), left + panel.width - width),
            min(max(y, 0), panel.height - height),
        )
        for x, y in places
    ]
    rectangles = [(x, y, x + width, y + height) for x, y in chips]
    free = (one for one in rectangles if not any(_overlap(one, other) for other in taken))
    return next(free, rectangles[0])


def _overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _legend(draw: ImageDraw.ImageDraw, finding: KeyFinding, panel: Panel) -> None:
    right, line = panel.cell + MARGIN_PX, panel.height + 10
    _write(draw, (MARGIN_PX, line), finding.title, size=20)
    _write(draw, (MARGIN_PX, line + 27), finding.position, colour=SOFT_TEXT)
    heat = f"Grad-CAM: evidence for {finding.heat_title}" if finding.heat_title else "No heat map"
    boxes = f"box: detail and its weight ({len(finding.details)})" if finding.details else "no box"
    edge = right + panel.cell - GAP_PX - 2 * MARGIN_PX
    room = edge - right - draw.textlength(boxes, _font(17, boxes)) - MARGIN_PX
    _write(draw, (right, line), _fitting(draw, heat, room))
    if finding.heat_title:
        _write(draw, (right + 226, line + 27), "none to most, within this slice", colour=SOFT_TEXT)
    _write(draw, (edge, line), boxes, anchor="ra", colour=SOFT_TEXT)


def _fitting(draw: ImageDraw.ImageDraw, text: str, room_px: float) -> str:
    """As much of a text as there is room for; a hospital's own label may be of any length."""
    whole = shown = drawable(text)
    while len(shown) > 1 and draw.textlength(shown, _font(17, shown)) > room_px:
        whole = whole[:-1]
        shown = f"{whole}..."
    return shown


def _colour_bar() -> NDArray[np.uint8]:
    """The heat's colours from none to most, at the strength with which they are laid on."""
    ramp = np.tile(np.linspace(0, 1, 214, dtype=np.float32), (12, 1))
    alpha = ramp[:, :, None]
    base = np.array(PAPER, np.float32)
    return np.round(base * (1 - alpha) + heat_colours(ramp) * alpha).astype(np.uint8)
