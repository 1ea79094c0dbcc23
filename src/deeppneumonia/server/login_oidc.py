"""Logging in at the hospital's own provider: out to it, and back with a code."""

import hmac
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response

from deeppneumonia.server.access import HasServices
from deeppneumonia.server.accounts import AccountError
from deeppneumonia.server.login import set_session
from deeppneumonia.server.oidc import Flow, NotVouchedError, Provider, ProviderAwayError
from deeppneumonia.server.pages import render
from deeppneumonia.server.services import Services

router = APIRouter(include_in_schema=False)

PATH = "/login/oidc"
FLOW_COOKIE = "deeppneumonia_login"
FLOW_S = 600
"""Time to type a password and find the telephone with the second factor."""


@router.get(PATH)
def go_to_provider(request: Request, services: HasServices) -> Response:
    """Send the browser to the provider."""
    flow = Flow.new()
    try:
        url = _provider(request).authorization_url(flow, _return_address(request, services))
    except ProviderAwayError as error:
        raise HTTPException(503, str(error), {"Retry-After": "30"}) from error
    answer = RedirectResponse(url, 302)
    answer.set_cookie(
        FLOW_COOKIE,
        flow.secret,
        max_age=FLOW_S,
        path=PATH,
        httponly=True,
        samesite="lax",  # it has to come along when the provider sends the browser back
        secure=services.settings.behind_tls,
    )
    return answer


@router.get(f"{PATH}/callback")
def come_back(
    request: Request,
    services: HasServices,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    iss: Annotated[str, Query(max_length=400)] = "",
) -> Response:
    """Take the provider's word for who it is, and open a session."""
    provider = _provider(request)
    flow = Flow(request.cookies.get(FLOW_COOKIE, ""))
    if not flow.secret or not hmac.compare_digest(flow.state.encode(), state.encode()):
        raise HTTPException(400, "This log-in was not begun here, or took too long: log in again.")
    try:
        if not code or iss not in ("", provider.settings.issuer):
            raise NotVouchedError("The log-in service did not let you in: log in again.")
        who = provider.vouched(code, flow, _return_address(request, services))
        name = services.accounts.vouched(who.subject, who.name, who.roles)
    except (NotVouchedError, AccountError) as error:
        services.audit.write("nobody", "login refused", "", "oidc")
        raise HTTPException(403, str(error)) from error
    except ProviderAwayError as error:
        raise HTTPException(503, str(error), {"Retry-After": "30"}) from error
    # Not a redirect: on one that began at another site, browsers withhold the strict cookie.
    answer = render("entered.html.j2", None)
    set_session(answer, services, name)
    answer.delete_cookie(FLOW_COOKIE, path=PATH)
    return answer


def _provider(request: Request) -> Provider:
    provider: Provider | None = request.app.state.provider
    if provider is None:
        raise HTTPException(404, "People log in with a password here.")
    return provider


def _return_address(request: Request, services: Services) -> str:
    """Where the provider sends the browser back to; the guard has let only our own names in."""
    scheme = "https" if services.settings.behind_tls else request.url.scheme
    return f"{scheme}://{request.headers['host']}{PATH}/callback"
