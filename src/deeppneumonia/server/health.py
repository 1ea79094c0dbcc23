"""Whether the server lives, whether it is ready, and what it counts; none of it names a study."""

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from deeppneumonia.server.access import HasServices, SomeBody, require
from deeppneumonia.server.accounts import Right
from deeppneumonia.server.database import DatabaseAwayError
from deeppneumonia.server.schemas import Readiness, problems

router = APIRouter(tags=["health"])


@router.get("/health/live")
def live() -> dict[str, bool]:
    """Whether the process answers at all."""
    return {"live": True}


@router.get("/health/ready", responses={503: {"model": Readiness}})
def ready(response: Response, services: HasServices) -> Readiness:
    """Whether studies can be taken and read now: database, disk, a worker with its model."""
    reasons = []
    try:
        if services.storage.free_bytes() < services.settings.min_free_bytes:
            reasons.append("The disk is almost full.")
    except OSError:  # as of a network disk that went away
        reasons.append("The data folder cannot be reached.")
    try:
        if not services.roster.count():
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
    _gauge(registry, "workers", "Workers that were seen lately", services.roster.count())
    _gauge(registry, "disk_free_bytes", "Free space for studies", services.storage.free_bytes())
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _gauge(registry: CollectorRegistry, name: str, help: str, value: float) -> None:
    Gauge(f"deeppneumonia_{name}", help, registry=registry).set(value)
