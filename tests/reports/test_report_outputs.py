"""The files of an answer: valid by their schema, whole or not there, made without torch."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deeppneumonia.domain import KeySlice, PatientDiagnosis
from deeppneumonia.reports import OutputError, ReportContext, outputs, to_json, write_outputs

Keys = Callable[[PatientDiagnosis], tuple[KeySlice, ...]]
SCHEMA = json.loads((files("deeppneumonia.reports") / "templates/result.schema.json").read_text())
TYPES = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
    "null": type(None), "boolean": bool,
}  # fmt: skip
KNOWN = {
    "$schema", "title", "description", "type", "additionalProperties", "required", "properties",
    "const", "enum", "items", "minItems", "maxItems", "minimum", "maximum", "minProperties",
    "maxProperties", "allOf", "if", "then", "else", "$ref", "$defs",
}  # fmt: skip


def faults(value: Any, schema: Mapping[str, Any], at: str = "$") -> list[str]:
    """Where a value breaks a schema; understands the words in KNOWN and fails on others."""
    assert schema.keys() <= KNOWN, schema.keys() - KNOWN
    found: list[str] = []
    if "$ref" in schema:
        found += faults(value, SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]], at)
    wanted = schema.get("type", [])
    kinds = [TYPES[kind] for kind in ([wanted] if isinstance(wanted, str) else wanted)]
    if kinds and not any(isinstance(value, kind) for kind in kinds):
        return [*found, f"{at}: {type(value).__name__} is not {wanted}"]
    if "const" in schema and value != schema["const"]:
        found.append(f"{at}: {value!r} is not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: {value!r} is none of {schema['enum']}")
    found += _faults_of_size(value, schema, at)
    if isinstance(value, dict):
        found += _faults_of_object(value, schema, at)
    if isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            found += faults(item, schema["items"], f"{at}[{number}]")
    for rule in schema.get("allOf", ()):
        branch = "else" if faults(value, rule["if"], at) else "then"
        found += faults(value, rule.get(branch, {}), at)
    return found


def _faults_of_size(value: Any, schema: Mapping[str, Any], at: str) -> list[str]:
    size = len(value) if isinstance(value, (dict, list)) else value
    low = {"minItems", "minProperties", "minimum"} & schema.keys()
    high = {"maxItems", "maxProperties", "maximum"} & schema.keys()
    return [f"{at}: {size} breaks {word}" for word in low if size < schema[word]] + [
        f"{at}: {size} breaks {word}" for word in high if size > schema[word]
    ]


def _faults_of_object(value: dict[str, Any], schema: Mapping[str, Any], at: str) -> list[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    found = [f"{at}: {name} is missing" for name in schema.get("required", ()) if name not in value]
    for name, one in value.items():
        if name in known:
            found += faults(one, known[name], f"{at}.{name}")
        elif others is False:
            found.append(f"{at}: {name} is unknown")
        elif isinstance(others, dict):
            found += faults(one, others, f"{at}.{name}")
    return found


@pytest.mark.parametrize("name", ["covid", "healthy", "indeterminate", "refused"])
def test_every_answer_fits_the_schema(name: str, request: pytest.FixtureRequest) -> None:
    answer = to_json(request.getfixturevalue(name))
    assert faults(answer, SCHEMA) == []
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer


def test_the_schema_finds_a_refusal_that_gives_probabilities(refused: PatientDiagnosis) -> None:
    broken = to_json(refused) | {"probabilities": {"covid": 0.9}, "diagnosis": "covid"}
    assert len(faults(broken, SCHEMA)) == 3  # the refusal rule twice, the diagnosis rule once


def test_a_refusal_has_no_probability_in_its_json(refused: PatientDiagnosis) -> None:
    answer = to_json(refused)
    assert refused.slices, "the case is only worth testing when slices were read"
    assert (answer["probabilities"], answer["slices"], answer["key_slices"]) == ({}, [], [])
    assert "0.962" not in json.dumps(answer)


def test_json_has_the_shape_that_others_rely_on(covid: PatientDiagnosis) -> None:
    answer = to_json(covid)
    assert list(answer) == [
        "schema_version", "status", "reasons", "probabilities", "diagnosis", "slices",
        "key_slices", "quality", "model", "timing_s",
    ]  # fmt: skip
    assert answer["diagnosis"] == "covid"
    assert answer["key_slices"] == [6, 10, 14]
    assert answer["slices"][0]["details"][0] == {
        "box": [124.0, 274.0, 176.0, 326.0],
        "weight": 0.97,
    }
    assert answer["timing_s"]["network"] == 3.456789  # six digits
    assert answer["quality"]["lung_volume_ml"] == 4312.4
    assert answer["quality"]["flags"][0]["code"] == "gap"


def test_what_is_not_finite_is_null_and_what_is_no_json_is_refused(
    covid: PatientDiagnosis,
) -> None:
    odd = replace(covid, quality={"ratio": np.float32("nan"), "count": np.int64(3)})
    assert to_json(odd)["quality"] | {"flags": 0} == {"ratio": None, "count": 3, "flags": 0}
    with pytest.raises(ValueError, match="object has no place in JSON"):
        to_json(replace(covid, quality={"what": object()}))


def test_an_answer_is_written_as_json_page_paper_and_pictures(
    covid: PatientDiagnosis, ct_context: ReportContext, draw_keys: Keys, tmp_path: Path
) -> None:
    written = write_outputs(covid, draw_keys(covid), tmp_path / "new" / "folder", ct_context)
    names = ["result.json", "report.html", "report.pdf", "key_1.png", "key_2.png", "key_3.png"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(names)


def test_an_earlier_answer_leaves_nothing_of_its_own_and_other_files_stay(
    covid: PatientDiagnosis,
    refused: PatientDiagnosis,
    ct_context: ReportContext,
    draw_keys: Keys,
    tmp_path: Path,
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write_outputs(covid, draw_keys(covid), tmp_path, ct_context)
    write_outputs(refused, (), tmp_path, ct_context)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "notes.txt", "report.html", "report.pdf", "result.json",
    ]  # fmt: skip
    assert json.loads((tmp_path / "result.json").read_text())["status"] == "refused"


def test_a_crash_while_drawing_leaves_the_earlier_answer_whole(
    covid: PatientDiagnosis,
    refused: PatientDiagnosis,
    ct_context: ReportContext,
    draw_keys: Keys,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_outputs(refused, (), tmp_path, ct_context)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write = Path.write_bytes

    def disk_full(self: Path, content: bytes) -> int:
        if self.name == "key_2.png":
            write(self, content[:10])
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(outputs.Path, "write_bytes", disk_full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_outputs(covid, draw_keys(covid), tmp_path, ct_context)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_one_sentence_with_what_to_do(
    refused: PatientDiagnosis, ct_context: ReportContext, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(OutputError, match="choose another folder with --out") as caught:
        write_outputs(refused, (), tmp_path / "taken", ct_context)
    assert caught.value.exit_code == 1


def test_a_report_is_made_without_torch(tmp_path: Path) -> None:
    program = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from deeppneumonia.domain import ModelIdentity, PatientDiagnosis, Status
from deeppneumonia.reports import ReportContext, dicom, write_outputs
answer = PatientDiagnosis(
    status=Status.REFUSED, reasons=("No study.",), probabilities={}, diagnosis=None, slices=(),
    key_slices=(), flags=(), quality={}, model=ModelIdentity("drenet", "00"),
)
made = datetime(2025, 3, 1, tzinfo=UTC)
write_outputs(answer, (), Path(sys.argv[1]), ReportContext(version="1", created=made))
sys.exit("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], check=False)
    assert done.returncode == 0
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
