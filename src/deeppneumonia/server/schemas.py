"""What the REST interface says and hears, in JSON."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field

from deeppneumonia.server.services import Services
from deeppneumonia.server.worklist import Job, State


class Problem(BaseModel):
    """Why a request was not done."""

    detail: str = Field(description="One sentence for a person.")


class StudyView(BaseModel):
    """One study and how far it is."""

    id: str
    state: State
    place: int | None = Field(description="Place in the queue, 1 is next; null if not queued.")
    source: str = Field(description="The way it came: page, rest, stow or dicom.")
    label: str = Field(description="What its sender called it.")
    owner: str
    submitted: datetime
    started: datetime | None
    finished: datetime | None
    elapsed_s: float = Field(description="Seconds since it was submitted, until it was finished.")
    bytes: int
    files: int
    failures: int = Field(description="Times that the work failed with an error.")
    crashes: int = Field(description="Times that the process which worked on it vanished.")
    reason: str | None = Field(description="Why it is not done, in a sentence.")
    status: str | None = Field(description="Of the answer: diagnosed, indeterminate or refused.")
    diagnosis: str | None
    outputs: list[str] = Field(description="Names of the files of the answer.")

    @classmethod
    def of(cls, job: Job, services: Services) -> "StudyView":
        """The view of a job as it stands now."""
        return cls.all_of([job], services)[0]

    @classmethod
    def all_of(cls, jobs: Sequence[Job], services: Services) -> list["StudyView"]:
        """The views of jobs; their places are asked for together."""
        places = services.jobs.places(jobs)
        return [cls._of(job, places.get(job.id), services) for job in jobs]

    @classmethod
    def _of(cls, job: Job, place: int | None, services: Services) -> "StudyView":
        end = job.finished or datetime.now(UTC).timestamp()
        outputs = services.storage.result_files(job.id, job.result) if job.result else []
        return cls(
            id=job.id,
            state=job.state,
            place=place,
            source=job.source,
            label=job.label,
            owner=job.owner,
            submitted=_time(job.submitted),
            started=None if job.started is None else _time(job.started),
            finished=None if job.finished is None else _time(job.finished),
            elapsed_s=round(max(end - job.submitted, 0), 1),
            bytes=job.bytes,
            files=job.files,
            failures=job.failures,
            crashes=job.crashes,
            reason=job.reason,
            status=job.status,
            diagnosis=job.diagnosis,
            outputs=outputs,
        )


class StudyList(BaseModel):
    """A page of the worklist."""

    studies: list[StudyView]
    total: int = Field(description="How many there are in all that fit the filters.")


class Readiness(BaseModel):
    """Whether studies can be taken and read now."""

    ready: bool
    reasons: list[str] = Field(description="What is missing; empty when ready.")


Problems = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Problems:
    """The statuses, beside success, with which a route may answer."""
    return {status: {"model": Problem, "description": _MEANING[status]} for status in statuses}


_MEANING = {
    400: "The request is not well formed.",
    401: "Log in first.",
    403: "Not allowed.",
    404: "No such study, or none that you may see.",
    409: "The study is in a state in which this cannot be done.",
    413: "More than the server takes.",
    415: "A body of a kind that is not taken.",
    422: "A parameter has an impossible value.",
    429: "Too many requests, or too many studies waiting; see Retry-After.",
    503: "The database does not answer for now, or the server is being stopped; see Retry-After.",
    507: "The disk is almost full.",
}


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
