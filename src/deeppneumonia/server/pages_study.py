"""The page of one study: how far it is, its answer, its slices and what its readers say of it."""

import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Query
from fastapi.responses import RedirectResponse, Response

from deeppneumonia.domain.labels import title_of
from deeppneumonia.reports.wording import capitalised
from deeppneumonia.server.access import HasServices, SomeBody, require, visible_job
from deeppneumonia.server.accounts import Right
from deeppneumonia.server.api import StudyId
from deeppneumonia.server.feedback import Feedback, FeedbackStore, manifest_csv
from deeppneumonia.server.pages import render
from deeppneumonia.server.schemas import StudyView
from deeppneumonia.server.services import Services
from deeppneumonia.server.worklist import OPEN, Job
from deeppneumonia.workflows.viewer import BOXES, HEAT, PAGE, VOLUME, slice_png

router = APIRouter(include_in_schema=False)

DOWNLOADS = {
    "report.pdf": "Report as PDF",
    "report.html": "Report as a page",
    "result.json": "Answer as JSON",
    "key_1.png": "Key slice 1",
    "key_2.png": "Key slice 2",
    "key_3.png": "Key slice 3",
    "report.dcm": "Report as DICOM",
    "sr.dcm": "Structured report (DICOM SR)",
    "seg.dcm": "Lungs and details (DICOM SEG)",
    "key_1.dcm": "Key slice 1 as DICOM",
    "key_2.dcm": "Key slice 2 as DICOM",
    "key_3.dcm": "Key slice 3 as DICOM",
    VOLUME: "The volume that was read (NIfTI)",
    HEAT: "Heat map of the key slices (NIfTI)",
    BOXES: "Boxes (NIfTI)",
}
NIIVUE = Path(__file__).parent / "static" / "niivue.js"
LARGEST_HU = 32_768
READ_AGAIN = (
    "The study was read again or deleted meanwhile: open it again, and say it of what is there."
)


@router.get("/studies/{id}")
def show_study(id: StudyId, services: HasServices, principal: SomeBody) -> Response:
    """Progress as long as there is no answer, then the answer."""
    job = visible_job(id, services, principal)
    view = StudyView.of(job, services)
    handles = principal.handles(job.owner)
    page = _page(job, services)
    if page is None:
        return render(
            "progress.html.j2",
            principal,
            study=view,
            may_change=handles,
            is_moving=job.state in OPEN,
        )
    services.audit.write(principal.name, "read", id, "page")
    return render(
        "study.html.j2",
        principal,
        study=view,
        may_change=handles,
        document=page["document"],
        picture=page["picture"],
        boxes=page.get("boxes", {}),
        heat=page.get("heat", {}),
        files=[(name, DOWNLOADS[name]) for name in DOWNLOADS if name in view.outputs],
        has_niivue=NIIVUE.is_file(),
        answer=job.result,
        feedback=FeedbackStore(services.database).of_study(id),
        labels={one: capitalised(title_of(one)) for one in _labels(page)},
        viewer=_viewer(page, id),
    )


@router.get("/studies/{id}/slices/{index}.png")
def show_slice(
    id: StudyId,
    index: int,
    services: HasServices,
    principal: SomeBody,
    center: Annotated[float, Query(ge=-LARGEST_HU, le=LARGEST_HU)] = -600,
    width: Annotated[float, Query(ge=2, le=2 * LARGEST_HU)] = 1500,
) -> Response:
    """One slice through a window of HU, pixel for pixel."""
    job = visible_job(id, services, principal)
    page = _page(job, services)
    volume = None if job.result is None else services.storage.result_file(id, job.result, VOLUME)
    if page is None or page["picture"] is None or volume is None:
        raise HTTPException(404, "The study has no slices to show.")
    try:
        png = slice_png(volume, page["picture"], index, center_hu=center, width_hu=width)
    except IndexError as error:
        raise HTTPException(404, f"The study has no slice {index}.") from error
    return Response(png, media_type="image/png")


@router.post("/studies/{id}/feedback")
def take_feedback(
    id: StudyId,
    services: HasServices,
    principal: SomeBody,
    agrees: Annotated[bool, Form()],
    label: Annotated[str, Form(max_length=64)] = "",
    comment: Annotated[str, Form(max_length=4000)] = "",
    answer: Annotated[str, Form(max_length=16)] = "",
) -> Response:
    """Keep what a reader says of an answer; the last word of each reader counts.

    `answer` says which one was on the page, for the study may have been read again since.
    """
    job = visible_job(id, services, principal)
    if not principal.judges:  # what is said here becomes labels
        raise HTTPException(403, f"A token needs the scope {str(Right.SUBMIT)!r} for this.")
    page = _page(job, services)
    if page is None:
        raise HTTPException(409, "The study has no answer yet.")
    if answer not in ("", job.result):
        raise HTTPException(409, READ_AGAIN)
    said = label if label in _labels(page) else None
    feedback = Feedback(
        reader=principal.name,
        agrees=agrees,
        label=job.diagnosis if agrees and job.diagnosis else said,
        comment=comment.strip(),
    )
    if not FeedbackStore(services.database).add(job, feedback):
        raise HTTPException(409, READ_AGAIN)
    services.audit.write(principal.name, "feedback", id, "agrees" if agrees else "disagrees")
    return RedirectResponse(f"/studies/{id}#feedback", 303)


@router.get("/feedback.csv")
def download_manifest(services: HasServices, principal: SomeBody) -> Response:
    """What readers have said as a manifest, its paths relative to the server's data folder."""
    require(principal, Right.ADMIN)
    text = manifest_csv(services.database, services.storage)
    services.audit.write(principal.name, "read", "", "feedback.csv")
    headers = {"Content-Disposition": 'attachment; filename="feedback.csv"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


def _page(job: Job, services: Services) -> dict[str, Any] | None:
    if job.result is None:
        return None
    file = services.storage.result_file(job.id, job.result, PAGE)
    return None if file is None else dict(json.loads(file.read_bytes()))


def _labels(page: dict[str, Any]) -> list[str]:
    """The classes of the model, in its order; without an answer, those of the published task."""
    lines = page["document"]["impression"]["probabilities"]
    ordered = sorted(lines, key=lambda line: line["position"])
    return [line["label"] for line in ordered] or ["covid", "bacterial", "healthy"]


def _viewer(page: dict[str, Any], id: str) -> dict[str, Any] | None:
    """What the viewer's script has to know, for an attribute of the page."""
    if page["picture"] is None:
        return None
    keys = [one["slice_index"] for one in page["document"]["key_findings"]]
    known = {key: value for key, value in page["picture"].items() if key != "offsets"}
    files = f"/api/v1/studies/{id}/files/"
    return {
        **known,
        "slice_urls": f"/studies/{id}/slices/",
        "heat": {index: files + name for index, name in page["heat"].items()},
        "boxes": page["boxes"],
        "keys": keys,
        "volume_url": files + VOLUME,
        "heat_url": files + HEAT if page["heat"] else None,
        "boxes_url": files + BOXES if page["boxes"] else None,
    }
