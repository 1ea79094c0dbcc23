"""Logging in and out: a password for a cookie that scripts cannot read."""

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, Field

from deeppneumonia.server.access import SESSION_COOKIE, HasServices, SomeBody
from deeppneumonia.server.accounts import Principal
from deeppneumonia.server.schemas import problems
from deeppneumonia.server.services import Services

router = APIRouter(prefix="/api/v1", tags=["account"], responses=problems(429, 503))


class Credentials(BaseModel):
    """What a person types."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=256)


class Account(BaseModel):
    """Whoever is logged in."""

    name: str
    rights: list[str]


@router.post("/login", status_code=204, responses=problems(400, 401))
def log_in(
    credentials: Credentials, request: Request, response: Response, services: HasServices
) -> None:
    """Log in with name and password; the answer sets a cookie."""
    set_session(response, services, check(credentials, request, services))


@router.post("/logout", status_code=204, responses=problems(401))
def log_out(response: Response, services: HasServices, principal: SomeBody) -> None:
    """End the session that the cookie stands for."""
    end_session(response, services, principal)


@router.get("/account", responses=problems(401))
def show_account(principal: SomeBody) -> Account:
    """Who you are for this server, and what you may do."""
    return Account(name=principal.name, rights=sorted(principal.rights))


def check(credentials: Credentials, request: Request, services: Services) -> str:
    """The name of a user whose password is right.

    Raises:
        HTTPException: 401 if it is wrong; 429 after ten tries in a minute from one address, or
            for one name.
    """
    address = request.client.host if request.client else "unknown"
    wait_s = max(services.logins.wait_s(address), services.logins.wait_s(credentials.name))
    if wait_s:
        raise HTTPException(429, "Too many tries: wait.", {"Retry-After": str(int(wait_s) + 1)})
    if not services.accounts.check_password(credentials.name, credentials.password):
        services.audit.write("nobody", "login refused", "", address)
        raise HTTPException(401, "The name or the password is wrong.")
    return credentials.name


def set_session(response: Response, services: Services, name: str) -> None:
    """Open a session for a user and put its cookie into the answer."""
    secret = services.accounts.open_session(name, services.settings.session_hours)
    services.audit.write(name, "login", name)
    response.set_cookie(
        SESSION_COOKIE,
        secret,
        max_age=int(services.settings.session_hours * 3600),
        httponly=True,
        samesite="strict",
        secure=services.settings.behind_tls,
    )


def end_session(response: Response, services: Services, principal: Principal) -> None:
    """Close the session of whoever asks, and have the answer take its cookie back."""
    if principal.session:
        services.accounts.close(principal.session)
    response.delete_cookie(SESSION_COOKIE)
