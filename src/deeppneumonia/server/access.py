"""Who is behind a request and what they may see: the dependencies of every route."""

from typing import Annotated

from fastapi import Depends, HTTPException, Request

from deeppneumonia.server.accounts import LOCAL, Principal, Right
from deeppneumonia.server.guard import host_name
from deeppneumonia.server.services import Services
from deeppneumonia.server.settings import is_loopback
from deeppneumonia.server.worklist import Job

SESSION_COOKIE = "deeppneumonia_session"
FORWARDED = (
    "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip",
)  # fmt: skip


async def services_of(request: Request) -> Services:
    """The services of the app that a request reached; async, as it is no work for a thread."""
    services: Services = request.app.state.services
    return services


HasServices = Annotated[Services, Depends(services_of)]


def principal_of(request: Request, services: HasServices) -> Principal:
    """Whoever is behind a request: bearer of a token, of a session cookie, or the local user.

    Raises:
        HTTPException: 401 when it is none of these.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    cookie = request.cookies.get(SESSION_COOKIE)
    found = None
    if scheme.lower() == "bearer":
        found = services.accounts.principal(token.strip(), "token")
    elif cookie:
        found = services.accounts.principal(cookie, "session")
    elif is_open(request, services):
        found = LOCAL
    if found is None:
        raise HTTPException(401, "Log in first.", {"WWW-Authenticate": "Bearer"})
    return found


def is_open(request: Request, services: Services) -> bool:
    """Whether nobody has to log in: only this machine can reach us, and there are no users."""
    # A proxy on this machine would let in everybody as the local user. Some say that they are one,
    # some pass on the name under which they were asked, and some are known from the settings alone.
    is_forwarded = any(name in request.headers for name in FORWARDED)
    settings = services.settings
    if is_forwarded or settings.oidc or settings.way_in:
        return False
    return is_loopback(host_name(request.headers.get("host", ""))) and not services.accounts.users()


SomeBody = Annotated[Principal, Depends(principal_of)]


def visible_job(id: str, services: Services, principal: Principal) -> Job:
    """A job that this principal may see.

    Raises:
        HTTPException: 404 when there is none, or none for these eyes: both look the same.
    """
    job = services.jobs.get(id)
    if job is None or not principal.may(Right.READ) or not principal.sees(job.owner):
        raise HTTPException(404, "There is no such study.")
    return job


def handled_job(id: str, services: Services, principal: Principal) -> Job:
    """A job that this principal may change; 404 as above, 403 when it may only be seen."""
    job = visible_job(id, services, principal)
    if not principal.handles(job.owner):
        raise HTTPException(403, "You may see this study, but not change it.")
    return job


def require(principal: Principal, right: Right) -> None:
    """HTTPException 403 unless this is allowed."""
    if not principal.may(right):
        raise HTTPException(403, f"This needs the right {str(right)!r}.")
