"""Answers of many studies in one file that only grows: a line of JSON each, every study once."""

import fcntl
import json
from pathlib import Path
from typing import Any, Self

from deeppneumonia.errors import InputRefusedError


class AnswersError(InputRefusedError):
    """A file of answers that must not be added to."""


class Answers:
    """`results.jsonl`, open for one writer.

    A line is a study's name and its answer as `result.schema.json` describes it. Whoever was killed
    while writing leaves a line without an end; it is cut off here.

    Args:
        path: the file; made if it does not exist.
        model_sha256: of the checkpoint that all answers in it are from.

    Raises:
        AnswersError: another program is writing to it, or it holds something else.
    """

    def __init__(self, path: Path, model_sha256: str) -> None:
        self._path, self._model_sha256 = path, model_sha256
        path.touch()
        self._file = path.open("r+b")
        self.statuses: dict[str, str] = {}
        """Status by study."""
        try:
            self._lock()
            self._read()
        except AnswersError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def known(self) -> set[str]:
        """Studies that have an answer."""
        return set(self.statuses)

    def append(self, study: str, result: dict[str, Any]) -> None:
        """Add the answer of one study; a second answer to the same study is dropped."""
        if study in self.statuses:
            return
        line = json.dumps({"study": study, **result}, allow_nan=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        self.statuses[study] = result["status"]

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AnswersError(
                f"Another program is writing to {self._path.name}: wait for it, or give each "
                "program a shard of its own."
            ) from error

    def _read(self) -> None:
        whole = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break
            self._take_in(number, line)
            whole += len(line)
        self._file.truncate(whole)
        self._file.seek(whole)

    def _take_in(self, number: int, line: bytes) -> None:
        try:
            record = json.loads(line)
            study, status, model = record["study"], record["status"], record["model"]["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise AnswersError(
                f"Line {number} of {self._path.name} is no answer of ours: take the file away, or "
                "name another --out."
            ) from error
        if model != self._model_sha256:
            raise AnswersError(
                f"{self._path.name} holds answers of another model ({model[:12]}, and this one is "
                f"{self._model_sha256[:12]}): use that one, or name another --out."
            )
        self.statuses[study] = status
