"""Why a child process is gone, in words for a person."""

import logging
import signal

from deeppneumonia.errors import StudyError
from deeppneumonia.readers.limits import UnsafeInputError, way_to_raise

logger = logging.getLogger(__name__)


def why_ended(exit_code: object, cpu_s: float) -> StudyError:
    """Why a child is gone, by how it ended."""
    logger.warning("a reading process ended with %s", exit_code)
    if exit_code == -signal.SIGXCPU:
        return UnsafeInputError(
            f"Reading the study took more than {cpu_s:.0f} s of processor time, many times what "
            "a study of its size takes: the file is damaged or made to do harm; "
            + way_to_raise("seconds", "20")
        )
    if exit_code == -signal.SIGKILL:
        return UnsafeInputError(
            "The process that read the study was stopped by the system, most likely because the "
            "machine has no memory left: close other programs and read the study again."
        )
    if exit_code == -signal.SIGABRT:
        return UnsafeInputError(
            "A decoder gave up, as it does when a file asks for more memory than is allowed or is "
            "damaged beyond what it can handle: export the study again; "
            + way_to_raise("memory_bytes", "2e9")
        )
    return UnsafeInputError(
        "The process that read the study crashed (by "
        f"{_signal_name(exit_code)}), and nothing else was harmed: a file is damaged or made to "
        "do harm; export the study again."
    )


def _signal_name(exit_code: object) -> str:
    try:
        return signal.Signals(-int(str(exit_code))).name
    except ValueError:
        return f"exit code {exit_code}"
