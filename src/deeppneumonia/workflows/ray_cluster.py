"""The Ray cluster that this machine belongs to."""

import os
import signal
import threading

from deeppneumonia.errors import ConfigError


def joined_ray() -> None:
    """Connect this process to RAY_ADDRESS, or to what `ray start` began on this machine.

    Raises:
        ConfigError: if the extra is not installed, or there is no cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers
    try:
        import ray
    except ImportError as error:
        raise ConfigError("Ray is not installed: pip install 'deeppneumonia[ray]'.") from error
    if not ray.is_initialized():
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address="auto", log_to_driver=False)
        except ConnectionError as error:
            raise ConfigError(
                "This machine belongs to no Ray cluster: begin one with `ray start --head`, or "
                "name the one to join in RAY_ADDRESS."
            ) from error
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and on_sigterm is not None:  # None: nothing of Python hears it
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own prints a stack and aborts
