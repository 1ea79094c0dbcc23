"""The door of the command line: `deeppneumonia`, and `python -m deeppneumonia`.

Signals are heard from here on, before anything large is imported, so that Ctrl-C in the first
second is no traceback either.
"""

import signal
import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it with exit code 130, SIGTERM with 143."""
    # As an exception and not at once: what lies in temporary folders may be patients' pictures.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        from deeppneumonia.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        # While the interpreter takes itself down, another Ctrl-C would be a traceback again.
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
