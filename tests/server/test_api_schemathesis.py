"""Every route, asked with whatever its OpenAPI document allows, and with what it does not allow.

Schemathesis makes the requests and judges the answers: no server error, only documented statuses,
content types and bodies, no acceptance of what the document forbids and no refusal of what it
allows.
"""

import io
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pydicom
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection

from deeppneumonia.server.app import create_app
from deeppneumonia.server.rate_limit import RateLimit
from deeppneumonia.server.services import Services
from deeppneumonia.server.settings import Settings

EXAMPLES = 20
MANY = 1_000_000
UNHURRIED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@schemathesis.serializer("multipart/related")  # type: ignore[untyped-decorator]
def as_related(_context: Any, value: Any) -> bytes:
    """What was made up as one part, behind a DICOM file as the other."""
    made_up = value if isinstance(value, bytes) else str(value).encode()
    head = b"--x\r\nContent-Type: application/dicom\r\n\r\n"
    return b"\r\n".join([head + instance(), head + made_up, b"--x--\r\n"])


def instance() -> bytes:
    """A DICOM file that says what it is, and nothing more."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.826.0.1.7.1"
    dataset.StudyInstanceUID = "1.2.826.0.1.7"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that nothing makes slow down."""
    data = tmp_path_factory.mktemp("data")
    services = Services.open(
        Settings(
            data=str(data), min_free_bytes=0, requests_per_minute=MANY, max_queued=MANY,
            max_queued_per_owner=MANY,
        )
    )  # fmt: skip
    object.__setattr__(services, "logins", RateLimit(MANY))
    return schemathesis.openapi.from_asgi(
        "/api/v1/openapi.json", create_app(services.settings, services)
    )


@pytest.mark.slow
def test_every_route_keeps_to_its_document(api: Any) -> None:
    """In one test, as Schemathesis' own parametrization does not know this pytest."""
    wrong, asked = {}, []
    for found in api.get_all_operations():
        operation = found.ok()
        asked.append(operation.label)
        try:
            _ask(operation)
        except Exception as error:
            wrong[operation.label] = f"{type(error).__name__}: {error}"
    assert not wrong, "\n\n".join(f"{label}\n{told}" for label, told in wrong.items())
    assert {"POST /dicom-web/studies", "POST /api/v1/studies", "GET /metrics"} <= set(asked)
    assert len(asked) == len([one for path in api.raw_schema["paths"].values() for one in path])


def _ask(operation: Any) -> None:
    """Examples of all that the document allows and forbids, each with its answer judged."""
    both = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    for mode in both:
        cases = operation.as_strategy(generation_mode=mode)

        @UNHURRIED
        @given(case=cases)
        def keeps_to_its_document(case: Any) -> None:
            if case.media_type == "multipart/related":
                boundary = 'multipart/related; type="application/dicom"; boundary=x'
                case.headers = {**(case.headers or {}), "Content-Type": boundary}
            excused = []
            if case.operation.path == "/health/ready":  # is there to say that there is no worker
                excused.append(not_a_server_error)
            if case.media_type == "multipart/form-data":
                # Empty files among whole ones are passed over, which no schema can say.
                excused.append(negative_data_rejection)
            case.call_and_validate(excluded_checks=excused)

        # A route without parameters has nothing that could be wrong.
        with nullcontext() if mode is both[0] else suppress(Unsatisfiable):
            keeps_to_its_document()


def test_nothing_that_was_made_up_became_a_file_name(api: Any) -> None:
    data = Path(api.app.state.services.storage.data)
    for path in (data / "uploads").iterdir():
        assert len(path.name) == 32 and int(path.name, 16) >= 0
