"""Reading by a pool of Ray Serve replicas, behind the same store of jobs.

The worker processes still claim jobs, keep their leases and put answers in place: the store stays
the truth. Only the reading itself happens in a replica, on whatever machine of the cluster it
runs; all of them see the data folder under the same path.
"""

import fcntl
from pathlib import Path
from typing import Any

from deeppneumonia.server.settings import Settings
from deeppneumonia.server.worker import Outcome, Work, diagnosing
from deeppneumonia.workflows.ray_cluster import joined_ray

POOL = "deeppneumonia"
"""Name of the application in Ray Serve."""


def asking_ray(settings: Settings) -> Work:
    """Work that a replica does: the first worker starts the pool, with a replica for each worker.

    Raises:
        ConfigError: if Ray is not installed.
    """
    joined_ray()
    from ray import serve

    with (settings.folder / "ray.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if POOL not in serve.status().applications:
            serve.start(http_options={"location": "NoServer"})  # asked by handle, listens nowhere
            pool: Any = serve.deployment(
                _Replica, num_replicas=max(1, settings.workers), max_ongoing_requests=1
            )
            serve.run(pool.bind(settings.to_json()), name=POOL, route_prefix=None)
    replicas: Any = serve.get_app_handle(POOL)

    def work(study: Path, folder: Path) -> Outcome:
        status, diagnosis = replicas.remote(str(study.absolute()), str(folder.absolute())).result()
        return Outcome(status, diagnosis)

    return work


class _Replica:
    """One model in one process of the cluster."""

    def __init__(self, settings: str) -> None:
        self._work = diagnosing(Settings.from_json(settings))

    def __call__(self, study: str, folder: str) -> tuple[str, str | None]:
        outcome = self._work(Path(study), Path(folder))
        return outcome.status, outcome.diagnosis
