"""Which slices of a scan are looked at."""

from collections.abc import Sequence
from itertools import groupby

LONGEST_CHEST_MM = 450.0
"""A chest is scanned over 250 to 400 mm; what is longer holds other regions too."""

LEAST_LUNG_MM = 150.0
"""Height of the lungs of a small adult; less is their bases at the top of an abdomen."""


def equal_slices(total: int, count: int) -> tuple[int, ...]:
    """The scan divided equally into `count` parts: the slice in the middle of each, from the feet.

    Slice number k is floor((k + 1/2) * total / count), so the ends of the scan, where there is
    no lung, are left out by half a part. All slices when there are no more than `count`.

    In a scan that is turned over these are the same slices, but for those where
    (k + 1/2) * total / count is itself a whole number: there it is the next one. An odd total has
    none of them, and 300 slices in 15 parts have nothing else.

    Raises:
        ValueError: if total or count is less than 1.

    >>> equal_slices(300, 15)
    (10, 30, 50, 70, 90, 110, 130, 150, 170, 190, 210, 230, 250, 270, 290)
    """
    if total < 1 or count < 1:
        raise ValueError(f"total and count must be 1 or more, not {total} and {count}")
    if total <= count:
        return tuple(range(total))
    return tuple((2 * k + 1) * total // (2 * count) for k in range(count))


def chest_of(
    total: int, indices: Sequence[int], lung_px: Sequence[int], between_mm: float
) -> range | None:
    """Where the lungs lie in a scan that is longer than a chest, such as chest to pelvis.

    Args:
        total: slices of the whole scan.
        indices: its `equal_slices`.
        lung_px: how much lung was found in each of them; gas in a bowel may pass for a little.
        between_mm: distance of two slices of the scan.

    Returns:
        The slices around the run with most lung, as far as the next examined ones without or
        the ends of the scan; None in a scan no longer than a chest, with too little lung, or with
        lung in all slices, and where every slice was examined.

    >>> chest_of(125, [12, 37, 62, 87, 112], [0, 0, 90, 400, 300], 5.0)
    range(38, 125)
    """
    if total * between_mm <= LONGEST_CHEST_MM or all(lung_px) or len(indices) == total:
        return None
    has_lung = [px > 0 for px in lung_px]
    runs = [list(run) for lung, run in groupby(range(len(indices)), has_lung.__getitem__) if lung]
    lungs = max(runs, key=lambda run: sum(lung_px[at] for at in run), default=[])
    if len(lungs) * total / len(indices) * between_mm < LEAST_LUNG_MM:
        return None
    before, after = lungs[0] - 1, lungs[-1] + 1
    start = indices[before] + 1 if before >= 0 else 0
    return range(start, indices[after] if after < len(indices) else total)
