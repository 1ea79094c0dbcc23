"""Which slices of a scan are looked at."""


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
