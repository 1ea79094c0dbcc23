"""Other limits on what is read, for this process and all that it starts."""

import os

from deeppneumonia.readers.limits import VARIABLE, limits_from


def set_limits(words: str) -> None:
    """Change limits as `name=number,name=number` says; those not named stay as they were.

    Raises:
        ConfigError: an unknown name, or no number.
    """
    together = f"{os.environ.get(VARIABLE, '')} {words}".strip()
    limits_from(together)  # refused now, not at the first study
    os.environ[VARIABLE] = together
