"""The REST interface, version 1: routes parse, ask the store, and answer; none does the work."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from deeppneumonia.server import intake
from deeppneumonia.server.access import HasServices, SomeBody, handled_job, require, visible_job
from deeppneumonia.server.accounts import Right
from deeppneumonia.server.audit import AuditEntry
from deeppneumonia.server.guard import REPORT_CSP
from deeppneumonia.server.removal import remove
from deeppneumonia.server.schemas import StudyList, StudyView, problems
from deeppneumonia.server.services import Services
from deeppneumonia.server.storage import ID_PATTERN
from deeppneumonia.server.upload import BARE_TYPES, receive
from deeppneumonia.server.worklist import Job, State

router = APIRouter(prefix="/api/v1", tags=["studies"], responses=problems(401, 429, 503))

StudyId = Annotated[str, Path(pattern=f"^{ID_PATTERN}$", description="As the upload returned it.")]
FILE: dict[str, Any] = {"type": "string", "format": "binary", "minLength": 1}
FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One study: a zip, a volume file, or all files of a series.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {
                            "type": "array",
                            "items": FILE,
                            "minItems": 1,
                        },
                        "label": {
                            "type": "string",
                            "description": "For the worklist; 200 characters of it are kept.",
                        },
                    },
                    "required": ["files"],
                }
            },
            **{kind: {"schema": FILE} for kind in BARE_TYPES},
        },
    }
}
TYPES = {
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".dcm": "application/dicom",
}


@router.post(
    "/studies",
    status_code=202,
    responses={
        200: {"model": StudyView, "description": "The same study was sent before; this is it."},
        **problems(400, 403, 413, 415, 507),
    },
    openapi_extra=FILE_BODY,
)
async def submit_study(
    request: Request, response: Response, services: HasServices, principal: SomeBody
) -> StudyView:
    """Send one study. It is on the disk when this answers, and read as soon as its turn comes."""
    require(principal, Right.SUBMIT)
    await run_in_threadpool(intake.check_queue, services, principal)
    with await receive(request, services.storage, services.settings) as received:
        source = "page" if received.fields.get("source") == "page" else "rest"
        label = received.fields.get("label") or received.pieces[0].name

        def accept() -> tuple[StudyView, bool]:
            job, is_new = intake.submit(
                services, received.folder, received.pieces,
                owner=principal.name, source=source, label=label,
            )  # fmt: skip
            return StudyView.of(job, services), is_new

        view, is_new = await run_in_threadpool(accept)
    response.status_code = 202 if is_new else 200
    response.headers["Location"] = f"/api/v1/studies/{view.id}"
    return view


@router.get("/studies", response_model=StudyList, responses=problems(403))
def list_studies(
    services: HasServices,
    principal: SomeBody,
    state: State | None = None,
    search: Annotated[str, Query(max_length=200, description="Words that all must occur.")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    """The studies that you may see, from the newest on."""
    require(principal, Right.READ)
    jobs, total = services.jobs.list(
        owner=principal.listed_owner, state=state, search=search, limit=limit, offset=offset
    )
    return _json(StudyList(studies=StudyView.all_of(jobs, services), total=total))


@router.get("/studies/{id}", response_model=StudyView, responses=problems(404))
def show_study(id: StudyId, services: HasServices, principal: SomeBody) -> Response:
    """One study and how far it is."""
    return _json(StudyView.of(visible_job(id, services, principal), services))


@router.get("/studies/{id}/result", responses=problems(404, 409))
def show_result(id: StudyId, services: HasServices, principal: SomeBody) -> dict[str, Any]:
    """The answer, as `result.json` has it."""
    file = _output(visible_job(id, services, principal), "result.json", services)
    services.audit.write(principal.name, "read", id, "result.json")
    answer: dict[str, Any] = json.loads(file.read_bytes())
    return answer


@router.get("/studies/{id}/files/{name}", response_class=FileResponse, responses=problems(404, 409))
def download(
    id: StudyId,
    name: Annotated[str, Path(max_length=100)],
    services: HasServices,
    principal: SomeBody,
) -> FileResponse:
    """One file of the answer; `outputs` of the study names them."""
    file = _output(visible_job(id, services, principal), name, services)
    services.audit.write(principal.name, "read", id, name)
    is_page = file.suffix == ".html"
    return FileResponse(
        file,
        media_type=TYPES.get(file.suffix, "application/octet-stream"),
        filename=f"{id[:8]}_{name}",
        content_disposition_type="inline" if file.suffix in (".html", ".png") else "attachment",
        headers={"Content-Security-Policy": REPORT_CSP} if is_page else None,
        stat_result=file.stat(),  # here, where it is told of as any other file that is gone
    )


@router.post("/studies/{id}/cancel", responses=problems(403, 404, 409))
def cancel_study(id: StudyId, services: HasServices, principal: SomeBody) -> StudyView:
    """Take a study out of the queue, or have its answer thrown away while it is being read."""
    return _change(id, services, principal, "cancel")


@router.post("/studies/{id}/requeue", responses=problems(403, 404, 409))
def requeue_study(id: StudyId, services: HasServices, principal: SomeBody) -> StudyView:
    """Have a study read again that is done, dead or cancelled."""
    return _change(id, services, principal, "requeue")


@router.delete("/studies/{id}", status_code=204, responses=problems(403, 404))
def delete_study(id: StudyId, services: HasServices, principal: SomeBody) -> None:
    """Delete a study with everything that was made from it."""
    handled_job(id, services, principal)
    services.audit.write(principal.name, "delete", id)
    remove(services, id)


@router.get("/audit", tags=["administration"], responses=problems(403))
def show_audit(
    services: HasServices,
    principal: SomeBody,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[AuditEntry]:
    """The audit log, from the entry after `after`."""
    require(principal, Right.ADMIN)
    return services.audit.entries(after, limit)


def _json(view: BaseModel) -> Response:
    """Written here, in the route's own thread: half of a status page's time went into changes of
    thread, and FastAPI makes one more for what it has to write itself."""
    return Response(view.model_dump_json(), media_type="application/json")


def _change(id: str, services: Services, principal: SomeBody, verb: str) -> StudyView:
    handled_job(id, services, principal)
    change = services.jobs.cancel if verb == "cancel" else services.jobs.requeue
    if not change(id):
        state = visible_job(id, services, principal).state
        raise HTTPException(409, f"The study is {state}: it cannot be put to '{verb}' now.")
    services.audit.write(principal.name, verb, id)
    return StudyView.of(visible_job(id, services, principal), services)


def _output(job: Job, name: str, services: Services) -> Any:
    if job.result is None:
        raise HTTPException(409, f"The study is {job.state}: there is no answer yet.")
    file = services.storage.result_file(job.id, job.result, name)
    if file is None:
        raise HTTPException(404, "The answer has no such file.")
    return file
