"""DICOMweb's way in: STOW-RS (PS3.18 10.5), DICOM instances in one streamed message."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from deeppneumonia.server import intake
from deeppneumonia.server.access import HasServices, SomeBody, require
from deeppneumonia.server.accounts import Right
from deeppneumonia.server.schemas import problems
from deeppneumonia.server.storage import Piece
from deeppneumonia.server.upload import receive
from deeppneumonia.workflows.received import CT_CLASSES, InstanceIds, instance_ids

router = APIRouter(prefix="/dicom-web", tags=["DICOMweb"], responses=problems(401, 429, 503))

DEFLATED = "1.2.840.10008.1.2.1.99"
NOT_SUPPORTED = 0x0122
CANNOT_UNDERSTAND = 0xC000  # PS3.4 GG.4.2: failure reasons of a store
WRONG_STUDY = 0xC409
MEDIA_TYPE = "application/dicom+json"

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "DICOM files, each a part of type application/dicom.",
        "content": {"multipart/related": {"schema": {"type": "string", "format": "binary"}}},
    }
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "All were stored.", "content": {MEDIA_TYPE: {}}},
    202: {"description": "Some were stored; the others are named.", "content": {MEDIA_TYPE: {}}},
    409: {"description": "None was stored; the reasons are named.", "content": {MEDIA_TYPE: {}}},
    **problems(400, 403, 413, 415, 507),
}


@dataclass(frozen=True, slots=True)
class Instance:
    """What a file says that it is."""

    piece: Piece
    sop_class: str
    sop_instance: str
    study: str
    failure: int = 0


@router.post("/studies", responses=ANSWERS, response_class=JSONResponse, openapi_extra=BODY)
async def store(request: Request, services: HasServices, principal: SomeBody) -> JSONResponse:
    """Store instances; each study is read when nothing more of it has come for a while."""
    return await _store(request, services, principal, None)


@router.post("/studies/{study}", responses=ANSWERS, response_class=JSONResponse, openapi_extra=BODY)
async def store_study(
    study: Annotated[str, Path(pattern=r"^[0-9.]{1,64}$", description="Study Instance UID.")],
    request: Request,
    services: HasServices,
    principal: SomeBody,
) -> JSONResponse:
    """Store instances of one study; those of another are refused."""
    return await _store(request, services, principal, study)


async def _store(
    request: Request, services: HasServices, principal: SomeBody, study: str | None
) -> JSONResponse:
    require(principal, Right.SUBMIT)
    await run_in_threadpool(intake.check_queue, services, principal)
    with await receive(request, services.storage, services.settings) as received:

        def accept() -> list[Instance]:
            ids = instance_ids([piece.path for piece in received.pieces])
            instances = [_instance(*one, study) for one in zip(received.pieces, ids, strict=True)]
            if services.settings.de_identify:
                instances = [_only_ct(one) for one in instances]
            for uid in {one.study for one in instances if not one.failure}:
                pieces = [one.piece for one in instances if one.study == uid and not one.failure]
                intake.gather(services, pieces, owner=principal.name, source="stow", study_uid=uid)
            return instances

        instances = await run_in_threadpool(accept)
    failed = sum(bool(one.failure) for one in instances)
    status = 200 if not failed else 409 if failed == len(instances) else 202
    return JSONResponse(_response(instances), status, media_type=MEDIA_TYPE)


def _instance(piece: Piece, ids: InstanceIds | None, study: str | None) -> Instance:
    """A file under its ids, or with the reason why it is not stored."""
    if ids is None or ids.transfer_syntax == DEFLATED:  # as over C-STORE, which takes no deflated
        return Instance(piece, "", "", "", CANNOT_UNDERSTAND)
    failure = WRONG_STUDY if study not in (None, ids.study) else 0
    return Instance(piece, ids.sop_class, ids.sop_instance, ids.study, failure)


def _only_ct(one: Instance) -> Instance:
    """Where patients are removed, nothing else is taken: the rest cannot be rid of them."""
    if one.failure or one.sop_class in CT_CLASSES:
        return one
    return replace(one, failure=NOT_SUPPORTED)


def _response(instances: Sequence[Instance]) -> dict[str, Any]:
    """PS3.18 table 10.5.3-1: Referenced SOP Sequence and Failed SOP Sequence."""
    stored = [_reference(one) for one in instances if not one.failure]
    failed = [
        {**_reference(one), "00081197": {"vr": "US", "Value": [one.failure]}}
        for one in instances
        if one.failure
    ]
    sequences = {"00081199": stored, "00081198": failed}
    return {tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items}


def _reference(one: Instance) -> dict[str, Any]:
    uids = {"00081150": one.sop_class, "00081155": one.sop_instance}
    return {tag: {"vr": "UI", "Value": [uid] if uid else []} for tag, uid in uids.items()}
