"""Counts in words: the one place where a noun gets its plural."""


def counted(count: int, noun: str, several: str = "") -> str:
    """A count and its noun, or whatever else has to agree with it.

    Args:
        noun: the words for one.
        several: the words for none and for more; `noun` with an s unless given.

    >>> counted(1, "slice"), counted(0, "detail"), counted(2, "entry fits", "entries fit")
    ('1 slice', 'no details', '2 entries fit')
    """
    if count == 1:
        return f"1 {noun}"
    return f"{count or 'no'} {several or noun + 's'}"
