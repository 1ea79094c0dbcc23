"""Numbers in words: the one place where a probability, a place or a length gets its phrase."""

from collections.abc import Mapping

PROBABILITY_WORDS: Mapping[float, str] = {
    0.95: "very likely",
    0.80: "likely",
    0.50: "more likely than not",
    0.20: "less likely",
    0.05: "unlikely",
    0.00: "very unlikely",
}
"""The verbal scale: a probability gets the words of the highest level that it reaches."""

MOST_LIKELY = "the most likely, though below one half"
"""Of the answer, where the scale would call it less likely: it is, and more likely than others."""


def in_words(probability: float) -> str:
    """A calibrated probability, 0 to 1, on the verbal scale of `PROBABILITY_WORDS`.

    >>> in_words(0.95), in_words(0.5), in_words(0.02)
    ('very likely', 'more likely than not', 'very unlikely')
    """
    return next(words for level, words in PROBABILITY_WORDS.items() if probability >= level)


def as_percent(probability: float) -> str:
    """A probability in per cent, which never claims to be certain, nor a level it does not reach.

    >>> as_percent(0.874), as_percent(0.9999), as_percent(0.0)
    ('87%', '>99%', '<1%')
    >>> as_percent(0.496), in_words(0.496)  # not 50%, which is more likely than not
    ('49%', 'less likely')
    """
    if probability < 0.01:
        return "<1%"
    if probability > 0.99:
        return ">99%"
    rounded = round(probability, 2)
    return f"{rounded - 0.01 * (in_words(rounded) != in_words(probability)):.0%}"


def listed(words: list[str]) -> str:
    """Words as a list in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def capitalised(text: str) -> str:
    """The same text with a capital first letter and the rest left as it is.

    >>> capitalised("no pneumonia (CT)")
    'No pneumonia (CT)'
    """
    return text[:1].upper() + text[1:]
