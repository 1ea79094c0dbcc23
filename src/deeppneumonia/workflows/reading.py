"""What can start while heavy libraries are still being imported."""

from deeppneumonia.readers import prepare_to_read


def start_reading() -> None:
    """Start the process that reads studies, without waiting for it, and without torch."""
    prepare_to_read()
