"""Whether the server lives, whether it is ready, and what it counts; none of it names a study."""

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy import func, select

from deeppneumonia.server.access import HasServices, SomeBody, require
from deeppneumonia.server.accounts import Right
from deeppneumonia.server.database import DatabaseAwayError
from deeppneumonia.server.schema import WORKERS
from deeppneumonia.server.schemas import Readiness, problems
from deeppneumonia.server.services import Services

router = APIRouter(tags=["health"])

SILENT_S = 30.0
"""A worker that was not seen for this long does not count."""


@router.get("/health/live")
def live() -> dict[str, bool]:
    """Whether the process answers at all."""
    return {"live": True}


@router.get("/health/ready", responses={503: {"model": Readiness}})
def ready(response: Response, services: HasServices) -> Readiness:
    """Whether studies can be taken and read now: database, disk, a worker with its model."""
    reasons = []
    if services.storage.free_bytes() < services.settings.min_free_bytes:
        reasons.append("The disk is almost full.")
    try:
        if not count_workers(services):
            reasons.append("No worker is ready.")
    except DatabaseAwayError:
        reasons.append("The database does not answer.")
    if reasons:
        response.status_code = 503
        response.headers["Retry-After"] = "5"
    return Readiness(ready=not reasons, reasons=reasons)


@router.get("/metrics", response_class=Response, responses=problems(401, 403, 503))
def metrics(services: HasServices, principal: SomeBody) -> Response:
    """Counts for Prometheus; needs a token of an admin."""
    require(principal, Right.ADMIN)
    registry = CollectorRegistry()
    jobs = Gauge("deeppneumonia_studies", "Studies by state", ["state"], registry=registry)
    for state, count in services.jobs.counts().items():
        jobs.labels(str(state)).set(count)
    _gauge(registry, "workers", "Workers that were seen lately", count_workers(services))
    _gauge(registry, "disk_free_bytes", "Free space for studies", services.storage.free_bytes())
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def count_workers(services: Services) -> int:
    """Workers that have loaded their model and are alive."""
    limit = services.database.now - SILENT_S
    with services.database.read() as connection:
        query = select(func.count()).select_from(WORKERS).where(WORKERS.c.seen > limit)
        return int(connection.execute(query).scalar_one())


def _gauge(registry: CollectorRegistry, name: str, help: str, value: float) -> None:
    Gauge(f"deeppneumonia_{name}", help, registry=registry).set(value)
