"""The folder of an exported backbone: a graph, its weights, and what they are."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from deeppneumonia.errors import CheckpointError
from deeppneumonia.files import sha256_of

FORMAT = "deeppneumonia-engine-1"
GRAPH, WEIGHTS, FACTS = "backbone.xml", "backbone.bin", "engine.json"


class Precision(StrEnum):
    """In which numbers a backbone computes, the fastest first."""

    INT8 = "int8"
    BFLOAT16 = "bf16"
    FLOAT32 = "f32"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What an exported backbone is, and how far its answers lie from those of torch."""

    checkpoint_sha256: str
    """Of the checkpoint whose backbone it is; with any other it is refused."""

    precision: Precision
    sha256: Mapping[str, str]
    """Of the graph and of its weights."""

    made_with: Mapping[str, str] = field(default_factory=dict)
    """Libraries and their versions."""

    moved: Mapping[str, float | int | str] = field(default_factory=dict)
    """How far answers moved on the patients on whom it was accepted."""


def facts_to_json(facts: EngineFacts) -> str:
    """The content of `FACTS`."""
    return json.dumps({"format": FORMAT, **asdict(facts)}, indent=2, sort_keys=True) + "\n"


def read_facts(folder: Path, *, checkpoint_sha256: str) -> EngineFacts:
    """What `facts_to_json` made of an engine, with the files checked by their hashes.

    Raises:
        CheckpointError: if something is missing, damaged, of another version, or belongs to
            another checkpoint than this one.
    """
    try:
        stored = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        if stored.pop("format") != FORMAT:
            raise ValueError("it has another format")
        facts = EngineFacts(**{**stored, "precision": Precision(stored["precision"])})
        if any(sha256_of(folder / name) != facts.sha256[name] for name in (GRAPH, WEIGHTS)):
            raise ValueError("a file is not what was written")
        if facts.checkpoint_sha256 != checkpoint_sha256:
            raise ValueError("it belongs to another checkpoint")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"The engine {folder.name} cannot be used ({error}): make it again with "
            f"`deeppneumonia export`, or ask torch with --engine torch."
        ) from error
    return facts
