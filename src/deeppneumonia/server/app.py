"""The app: routes, guards and the way in which errors are told. Never imports torch."""

import errno
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from deeppneumonia.server import api, health, login, login_oidc, pages, pages_study, stow
from deeppneumonia.server.database import DatabaseAwayError
from deeppneumonia.server.guard import Guard
from deeppneumonia.server.intake import QueueFullError
from deeppneumonia.server.oidc import Provider
from deeppneumonia.server.services import Services
from deeppneumonia.server.settings import Settings
from deeppneumonia.server.storage import DiskFullError
from deeppneumonia.server.upload import UploadError

RETRY_AFTER_S = 5
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
GONE = "The study was read again or deleted meanwhile: open it again."
MISTYPED = (
    "There is nothing at this address, or a value in it is out of range: a link may be cut short."
)


def create_app(settings: Settings, services: Services | None = None) -> FastAPI:
    """The whole server as an ASGI app; starts no worker.

    Args:
        settings: see `Settings`.
        services: already opened; None to open them, which brings the database up to date.
    """
    app = FastAPI(
        title="DeepPneumonia",
        version=version("deeppneumonia"),
        description="Pneumonia from chest CT. Research software, not a medical device.",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.services = services or Services.open(settings)
    app.state.provider = Provider(settings.oidc) if settings.oidc else None
    app.include_router(api.router)
    app.include_router(login.router)
    app.include_router(stow.router)
    app.include_router(health.router)
    pages.install(app, pages_study.router, login_oidc.router)
    app.add_middleware(Guard, settings=settings)
    for error, status in _STATUS_OF.items():
        app.add_exception_handler(error, _answer(status))
    app.add_exception_handler(UploadError, _refuse_upload)
    app.add_exception_handler(OSError, _tell_full_disk)
    app.add_exception_handler(FileNotFoundError, _tell_gone)
    app.add_exception_handler(RequestValidationError, _refuse_value)
    return app


_STATUS_OF: dict[type[Exception], int] = {
    DatabaseAwayError: 503,
    DiskFullError: 507,
    QueueFullError: 429,
}


def _answer(status: int) -> Callable[[Request, Exception], JSONResponse]:
    def answer(_request: Request, error: Exception) -> JSONResponse:
        headers = {"Retry-After": str(RETRY_AFTER_S)} if status in (429, 503) else None
        return JSONResponse({"detail": str(error)}, status, headers)

    return answer


def _refuse_value(request: Request, error: Exception) -> Response:
    """What FastAPI says, but for the value: it may be a password, or half a character, which
    JSON can name and no answer can hold. A person, with half a link, gets a page."""
    assert isinstance(error, RequestValidationError)
    if pages.asked_by_person(request):
        return pages.render("problem.html.j2", None, 422, problem=MISTYPED)
    told = [{key: one[key] for key in ("type", "loc", "msg")} for one in error.errors()]
    return JSONResponse({"detail": told}, 422)


def _tell_full_disk(request: Request, error: Exception) -> JSONResponse:
    """A disk that became full on the way; what was begun on it has been removed by now."""
    if not isinstance(error, OSError) or error.errno not in NO_ROOM:
        raise error
    return _answer(507)(request, DiskFullError("The server's disk is full: nothing was kept."))


async def _tell_gone(request: Request, error: Exception) -> Response:
    """A file of an answer that was there a moment ago."""
    assert isinstance(error, FileNotFoundError)
    answers = request.app.state.services.storage.data / "results"
    if not Path(error.filename or "").is_relative_to(answers):
        raise error
    return await pages.tell(request, HTTPException(404, GONE))


async def _refuse_upload(request: Request, error: Exception) -> JSONResponse:
    # async, as a server that is being stopped begins no more threads
    assert isinstance(error, UploadError)
    return _answer(error.status)(request, error)
