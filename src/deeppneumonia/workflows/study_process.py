"""A process that reads study after study with one model, and the reader that keeps it alive.

    python -m deeppneumonia.workflows.study_process       a `ModelChoice` on standard input

Then comes one path a line, as JSON too, and one answer a line goes back. When standard input ends,
because the program that asked is done or dead, the process ends too.
"""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from deeppneumonia.errors import DeepPneumoniaError

COMMAND = (sys.executable, "-m", "deeppneumonia.workflows.study_process")
READY = "ready\n"
TRIES = 2
"""How often a study is given to a process before it is held to be what kills them, and how often a
process is started that dies while it loads its model."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What a process that reads studies has to know before the first one."""

    checkpoint: str = "default"
    """A released name, or a path that leads to the same file wherever the process runs."""

    device: str = "auto"
    engine: str = "auto"
    threads: int = 1
    """Threads of one process; several processes share the cores."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one study came to."""

    study: str
    """As it was asked for."""

    result: dict[str, Any] | None
    """As `result.schema.json` describes it; None when there is no answer."""

    failure: str = ""
    """Why there is none."""


class NoStudyProcessError(DeepPneumoniaError):
    """A process that reads studies ends before it begins."""

    def __init__(self) -> None:
        super().__init__(
            "A process that reads studies ended while it loaded the model: try fewer workers if "
            "memory is short, and see `deeppneumonia doctor`."
        )


class StudyReader:
    """Answers for studies from a process of its own, which is started again when it dies."""

    def __init__(self, choice: ModelChoice) -> None:
        self.choice = choice
        self._process: subprocess.Popen[str] | None = None
        self._is_closed = False

    def answer(self, study: str) -> Answer:
        """Read the study at a path; whatever it does to the process, only this answer suffers.

        Raises:
            NoStudyProcessError: the process cannot even be started.
        """
        tries = 0
        while tries < TRIES and not self._is_closed:
            process = self._process = self._process or self._started()
            line = _asked(process, json.dumps(study))
            if line.endswith("\n"):
                reply = json.loads(line)
                return Answer(study, reply["result"], reply["failure"])
            self._end()
            tries += 1
        return Answer(study, None, f"the process that read it died {tries} times")

    def close(self) -> None:
        """End the process at once; an answer that is being waited for becomes a failure."""
        self._is_closed = True
        self._end()

    def _started(self) -> subprocess.Popen[str]:
        for _ in range(TRIES):
            process = subprocess.Popen(
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                start_new_session=True,  # Ctrl-C reaches the program that asks, and it ends us
            )  # fmt: skip
            if _asked(process, json.dumps(asdict(self.choice))) == READY:
                return process
            process.kill()
            process.wait()
        raise NoStudyProcessError

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


def _asked(process: subprocess.Popen[str], line: str) -> str:
    """The process's next line; not a whole one when the process died."""
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None and stdout is not None
    with suppress(BrokenPipeError):
        stdin.write(line + "\n")
        stdin.flush()
    return stdout.readline()


def serve(questions: IO[str], answers: IO[str]) -> None:
    """Load the model of the first line, then answer for the path on every further one."""
    import cv2
    import torch

    from deeppneumonia.reports import to_json
    from deeppneumonia.workflows.diagnose import Diagnoser

    choice = ModelChoice(**json.loads(questions.readline()))
    torch.set_num_threads(choice.threads)
    cv2.setNumThreads(choice.threads)
    diagnoser = Diagnoser.load(choice.checkpoint, device=choice.device, engine=choice.engine)
    answers.write(READY)
    answers.flush()
    for line in questions:
        result, failure = None, ""
        try:
            result = to_json(diagnoser.diagnose(Path(json.loads(line))))
        except Exception as error:  # a study that cannot be worked on must not end the others
            # A message of another library may name a file, and files may be named after people.
            failure = str(error) if isinstance(error, DeepPneumoniaError) else type(error).__name__
        answers.write(json.dumps({"result": result, "failure": failure}) + "\n")
        answers.flush()


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as private:
        os.dup2(2, 1)  # what a library prints is no answer
        serve(sys.stdin, private)
