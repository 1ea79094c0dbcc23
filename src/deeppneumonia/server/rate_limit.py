"""How often somebody may ask: a bucket of permits for each key."""

import time
from collections import OrderedDict

REMEMBERED = 10_000
"""Keys that are kept; the one not seen for longest is forgotten first."""


class RateLimit:
    """A bucket of permits for each key, refilled steadily."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """Take a permit; 0 when there was one, else the seconds until the next."""
        now = time.monotonic()
        level, since = self._buckets.pop(key, (float(self.per_minute), now))
        level = min(self.per_minute, level + (now - since) * self.per_minute / 60)
        self._buckets[key] = (max(level - 1, 0) if level >= 1 else level, now)
        while len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return 0.0 if level >= 1 else (1 - level) * 60 / self.per_minute
