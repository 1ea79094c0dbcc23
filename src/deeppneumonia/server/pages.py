"""The pages: worklist, log-in, and the way in which a person is told of an error."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Form, HTTPException, Query, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException as AnyHTTPException

from deeppneumonia.domain.labels import Diagnosis, title_of
from deeppneumonia.reports.document import DISCLAIMER
from deeppneumonia.reports.wording import capitalised
from deeppneumonia.server.access import HasServices, SomeBody, require
from deeppneumonia.server.accounts import Principal, Right
from deeppneumonia.server.login import Credentials, check, end_session, set_session
from deeppneumonia.server.schemas import StudyView
from deeppneumonia.server.worklist import OPEN, State

PAGE_SIZE = 50
STATE_WORDS: Mapping[str, str] = {
    State.QUEUED: "waiting",
    State.RUNNING: "being read",
    State.DONE: "answered",
    State.DEAD: "failed",
    State.CANCELLED: "cancelled",
}
ANSWERS: Mapping[str, str] = {
    **{str(label): capitalised(title_of(label)) for label in Diagnosis},
    "indeterminate": "Indeterminate",
    "refused": "Refused",
}
PROGRAMS = ("/api/", "/dicom-web/", "/health", "/metrics")
"""What is asked by programs, which are told of errors in JSON."""

router = APIRouter(include_in_schema=False)


def install(app: FastAPI, *routers: APIRouter) -> None:
    """Put the pages, and what they load, into the app."""
    for one in (router, *routers):
        app.include_router(one)
    app.mount("/static", StaticFiles(packages=[("deeppneumonia.server", "static")]))
    app.add_exception_handler(AnyHTTPException, tell)


def render(name: str, principal: Principal | None, status: int = 200, **words: Any) -> HTMLResponse:
    """One template as a page.

    Args:
        name: of the template.
        principal: who looks at it; None before anybody has logged in.
        words: what the template names.
    """
    page = _TEMPLATES.get_template(name).render(principal=principal, **words)
    return HTMLResponse(page, status)


@router.get("/")
def show_worklist(
    services: HasServices,
    principal: SomeBody,
    state: str = "",
    answer: str = "",
    search: Annotated[str, Query(max_length=200)] = "",
    start: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    part: bool = False,
) -> Response:
    """Where studies are dropped, and the list of them; with `part`, the list alone."""
    require(principal, Right.READ)
    jobs, total = services.jobs.list(
        owner=principal.listed_owner,
        state=State(state) if state in STATE_WORDS else None,
        answer=answer if answer in ANSWERS else "",
        search=search,
        limit=PAGE_SIZE,
        offset=start,
    )
    return render(
        "rows.html.j2" if part else "worklist.html.j2",
        principal,
        studies=StudyView.all_of(jobs, services),
        total=total,
        start=start,
        page_size=PAGE_SIZE,
        chosen={"state": state, "answer": answer, "search": search},
        answers=ANSWERS,
        is_moving=any(job.state in OPEN for job in jobs),
        may_submit=principal.may(Right.SUBMIT),
    )


@router.get("/login")
def show_login(services: HasServices) -> Response:
    """Where name and password are typed, and the way to the hospital's own log-in."""
    return render("login.html.j2", None, problem="", oidc=services.settings.oidc)


@router.post("/login")
def log_in(
    request: Request,
    services: HasServices,
    name: Annotated[str, Form(max_length=64)] = "",
    password: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    """Log in, and go on to the worklist."""
    try:
        found = check(Credentials(name=name, password=password), request, services)
    except HTTPException as error:
        return render(
            "login.html.j2",
            None,
            error.status_code,
            problem=error.detail,
            oidc=services.settings.oidc,
        )
    answer = RedirectResponse("/", 303)
    set_session(answer, services, found)
    return answer


@router.post("/logout")
def log_out(services: HasServices, principal: SomeBody) -> Response:
    """End the session."""
    answer = RedirectResponse("/login", 303)
    end_session(answer, services, principal)
    return answer


def asked_by_person(request: Request) -> bool:
    """Whether a browser wants a page, and not a program its data."""
    is_program = request.url.path.startswith(PROGRAMS)
    return not is_program and "text/html" in request.headers.get("accept", "")


async def tell(request: Request, error: Exception) -> Response:
    """A page for a person, the way to log in, or JSON for a program."""
    assert isinstance(error, AnyHTTPException)
    if not asked_by_person(request):
        return await http_exception_handler(request, error)
    if error.status_code == 401:
        return RedirectResponse("/login", 303)
    page = render("problem.html.j2", None, error.status_code, problem=error.detail)
    page.headers.update(error.headers or {})
    return page


def _duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> _duration(7.4), _duration(134), _duration(7300)
    ('7 s', '2 min 14 s', '2 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


_TEMPLATES = Environment(
    loader=PackageLoader("deeppneumonia.server"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["duration"] = _duration
_TEMPLATES.globals.update(
    disclaimer=DISCLAIMER, version=version("deeppneumonia"), state_words=STATE_WORDS
)
