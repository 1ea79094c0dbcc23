"""A folder of studies: every one once, whoever is killed, and the answers of a single diagnosis."""

import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deeppneumonia.cli import app
from deeppneumonia.errors import ConfigError
from deeppneumonia.files import sha256_of
from deeppneumonia.readers import NoStudyError
from deeppneumonia.reports import to_json
from deeppneumonia.workflows.answers import Answers, AnswersError
from deeppneumonia.workflows.archive import Shard, diagnose_archive, find_studies
from deeppneumonia.workflows.diagnose import Diagnoser
from deeppneumonia.workflows.study_process import ModelChoice, NoStudyProcessError, StudyReader


@pytest.fixture
def archive(cohort: Path, tmp_path: Path) -> Path:
    """Four phantom patients and a file that is no study; one is not what its name says."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for seed, label in enumerate(("covid", "bacterial", "healthy")):
        (folder / f"study {seed}").symlink_to(cohort / f"PHANTOM-{label}-{seed}")
    (folder / "not really.zip").write_text("no study")
    (folder / "notes.txt").write_text("about these studies")
    return folder


@pytest.fixture
def choice(checkpoint: Path) -> ModelChoice:
    return ModelChoice(str(checkpoint), "cpu")


def lines_of(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def readers_of_studies() -> list[int]:
    """Process ids of our own children that read studies."""
    tasks = Path("/proc/self/task").iterdir()  # a child belongs to the thread that started it
    every = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    return [pid for pid in every if b"study_process" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_kill_costs_one_study_a_second_try_and_a_second_call_nothing(
    archive: Path, choice: ModelChoice, tmp_path: Path
) -> None:
    sha256, out, killed = sha256_of(Path(choice.checkpoint)), tmp_path / "out", []

    def kill_all_once(_done: int, _of: int) -> None:
        if not killed:
            killed.extend(readers_of_studies())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    outcome = diagnose_archive(
        archive, out, choice, model_sha256=sha256, workers=2, progress=kill_all_once
    )
    assert len(killed) == 2
    assert not outcome.failed
    assert outcome.counts["refused"] == 1
    found = {str(line.pop("study")): line for line in lines_of(outcome.results)}
    assert sorted(found) == find_studies(archive)
    diagnoser = Diagnoser.load(choice.checkpoint, device="cpu")
    expected = to_json(diagnoser.diagnose(archive / "study 0"))
    for answer in (expected, found["study 0"]):
        del answer["timing_s"]
    assert found["study 0"] == expected

    whole = outcome.results.read_bytes()
    outcome.results.write_bytes(whole[:-10])  # killed while it wrote the last line
    again = diagnose_archive(archive, out, choice, model_sha256=sha256)
    assert (again.studies, again.answered_before) == (4, 3)
    assert Counter(line["study"] for line in lines_of(again.results)) == Counter(list(found))
    finished = again.results.read_bytes()
    diagnose_archive(archive, out, choice, model_sha256=sha256)
    assert again.results.read_bytes() == finished
    assert not readers_of_studies()


def test_a_study_that_kills_its_process_twice_is_given_up_and_the_next_one_read(
    archive: Path, choice: ModelChoice
) -> None:
    reader = StudyReader(choice)
    killed: list[int] = []

    def kill_two() -> None:
        while len(killed) < 2:
            process = reader._process
            if process is not None and process.pid not in killed:
                killed.append(process.pid)
                process.kill()
            time.sleep(0.002)

    killer = threading.Thread(target=kill_two)
    killer.start()
    lost = reader.answer(str(archive / "study 0"))
    killer.join()
    assert (lost.result, lost.failure) == (None, "the process that read it died 2 times")
    found = reader.answer(str(archive / "study 0"))
    reader.close()
    assert found.result is not None and found.result["status"] == "diagnosed"


def test_a_process_that_cannot_load_its_model_ends_the_whole(tmp_path: Path) -> None:
    reader = StudyReader(ModelChoice(str(tmp_path / "none.safetensors"), "cpu"))
    with pytest.raises(NoStudyProcessError, match="ended while it loaded the model"):
        reader.answer("anything")


@pytest.mark.parametrize("of", [1, 2, 7])
def test_shards_divide_the_studies_and_stay_when_more_come(of: int) -> None:
    names = [f"study {number}" for number in range(200)]
    shards = [Shard(number, of) for number in range(1, of + 1)]
    held = [[name for name in names if shard.holds(name)] for shard in shards]
    assert sorted(name for part in held for name in part) == sorted(names)
    assert min(map(len, held)) > 200 / of / 2
    assert len({shard.file_name for shard in shards}) == of


def test_a_shard_is_a_part_of_a_whole() -> None:
    assert Shard.parse("2/8") == Shard(2, 8)
    for text in ("0/2", "3/2", "2", "a/b", "-1/2", "1/"):
        with pytest.raises(ConfigError, match=r"it takes i/n"):
            Shard.parse(text)


def test_a_single_study_is_not_taken_for_an_archive(dicom_study: Path) -> None:
    with pytest.raises(NoStudyError, match="leave --workers and --shard out"):
        find_studies(dicom_study)


def test_a_folder_that_is_not_there_is_refused_as_a_study_is(tmp_path: Path) -> None:
    with pytest.raises(NoStudyError, match="nothing at the path"):
        find_studies(tmp_path / "none")


def test_answers_do_not_lie_among_the_studies(archive: Path, choice: ModelChoice) -> None:
    with pytest.raises(ConfigError, match="lies among the studies"):
        diagnose_archive(archive, archive / "out", choice, model_sha256="a")


def test_answers_of_two_models_or_two_writers_are_kept_apart(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    with Answers(file, "a") as answers:
        answers.append("one", {"status": "refused", "model": {"sha256": "a"}})
        answers.append("one", {"status": "diagnosed", "model": {"sha256": "a"}})
        with pytest.raises(AnswersError, match="Another program is writing"):
            Answers(file, "a")
    assert [line["status"] for line in lines_of(file)] == ["refused"]
    with pytest.raises(AnswersError, match="answers of another model"):
        Answers(file, "b")
    file.write_text("[]\n")
    with pytest.raises(AnswersError, match=r"Line 1 of .* is no answer"):
        Answers(file, "a")


@pytest.mark.parametrize(
    "arguments",
    [["--workers", "2"], ["--shard", "1/2"], ["--workers", "2", "--ray-workers", "2", "-o", "x"]],
    ids=" ".join,
)
def test_wrong_usage_is_told_before_anything_is_loaded(arguments: list[str]) -> None:
    ran = CliRunner().invoke(app, ["diagnose", "folder", *arguments])
    assert ran.exit_code == 2
    assert "A folder of studies is one PATH" in ran.output.replace("\n", " ")


def test_the_command_says_what_it_came_to(
    archive: Path, choice: ModelChoice, tmp_path: Path
) -> None:
    options = ["--shard", "1/1", "-c", choice.checkpoint, "-o", str(tmp_path / "out"), "--json"]
    ran = CliRunner().invoke(app, ["diagnose", str(archive), *options])
    assert ran.exit_code == 0, ran.output
    summary = json.loads(ran.stdout)
    assert summary["counts"] == {"diagnosed": 3, "refused": 1}
    assert summary["failed"] == {}
