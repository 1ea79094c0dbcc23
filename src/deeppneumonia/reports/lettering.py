"""In which font each letter is printed: hospitals write series and labels in their own script."""

import unicodedata
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.pdfbase.ttfonts import TTFont

STANDARD = ""
"""The font of the paragraph, which prints Western European letters."""

MANY_SCRIPTS = "DejaVuSans"
"""Cyrillic, Greek and more; comes with matplotlib and is put into the PDF as far as it is used."""

EAST_ASIAN = (
    ("HYSMyeongJo-Medium", (("\uac00", "\ud7a3"),)),
    ("HeiseiMin-W3", (("\u3041", "\u30ff"),)),
    ("STSong-Light", (("\u3000", "\u3040"), ("\u3400", "\u9fff"), ("\uff00", "\uffef"))),
)
"""Korean, Japanese and Chinese fonts, with the letters that they are used for. They stand in no
PDF: whatever opens it has them, or puts its own in their place."""


def in_fonts(text: str) -> str:
    """The text for a reportlab paragraph, escaped; letters that no font has are question marks.

    >>> in_fonts("Thorax 1,5 mm – Лёгкие & 胸部")  # doctest: +NORMALIZE_WHITESPACE
    'Thorax 1,5 mm – <font name="DejaVuSans">Лёгкие</font> &amp;
    <font name="STSong-Light">胸部</font>'
    """
    return "".join(
        _printed(font, "".join(letters)) for font, letters in groupby(text, key=_font_of)
    )


def drawable(text: str) -> str:
    """The text in letters that the font of `many_scripts_file` has, question marks for others.

    Hebrew and Arabic are among the others: whoever draws with it sets from left to right.

    >>> drawable("Lungenentzündung"), drawable("Пневмония"), drawable("肺炎")
    ('Lungenentzündung', 'Пневмония', '??')
    """
    if text.isascii():
        return text
    composed, known = unicodedata.normalize("NFC", text), _many_scripts().face.charToGlyph
    return "".join(
        one if ord(one) in known and unicodedata.bidirectional(one) not in ("R", "AL") else "?"
        for one in composed
    )


def many_scripts_file() -> Path:
    """The font file of `MANY_SCRIPTS`."""
    import matplotlib  # few reports need it

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def _printed(font: str | None, letters: str) -> str:
    if font is None:
        return "?" * len(letters)
    return f'<font name="{font}">{escape(letters)}</font>' if font else escape(letters)


def _font_of(letter: str) -> str | None:
    """STANDARD, the name of a font that is registered now, or None if none has the letter."""
    try:
        letter.encode("cp1252")
    except UnicodeEncodeError:
        pass
    else:
        return STANDARD
    for name, ranges in EAST_ASIAN:
        if any(first <= letter <= last for first, last in ranges):
            return _registered(name)
    return MANY_SCRIPTS if ord(letter) in _many_scripts().face.charToGlyph else None


@cache
def _registered(name: str) -> str:
    registerFont(UnicodeCIDFont(name))
    return name


@cache
def _many_scripts() -> Any:
    font = TTFont(MANY_SCRIPTS, many_scripts_file())
    registerFont(font)
    return font
