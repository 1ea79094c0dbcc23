"""Many studies over Ray Data: the same reader, wherever the cluster has a core to spare.

Studies and checkpoint must lie under the same paths on every machine, as on a shared disk. A study
whose machine is lost is read again on another one; the file of answers takes the first answer.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from deeppneumonia.workflows.ray_cluster import joined_ray
from deeppneumonia.workflows.study_process import Answer, ModelChoice, StudyReader


def over_ray(studies: Sequence[str], choice: ModelChoice, workers: int) -> Iterator[Answer]:
    """An answer for each study, as they come, from at most so many processes of the cluster.

    Raises:
        ConfigError: if Ray is not installed.
        NoStudyProcessError: if a process cannot load the model.
    """
    if not studies:
        return
    joined_ray()
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    waiting = ray.data.from_items(
        [{"study": study} for study in studies], override_num_blocks=len(studies)
    )
    # Tasks and not actors: a lost machine's tasks go to any other, an actor waits to be replaced.
    answers = waiting.map_batches(
        partial(_read, choice=choice), batch_size=1, num_cpus=choice.threads, concurrency=workers
    )
    for row in answers.iter_rows():
        found = json.loads(row["answer"])
        yield Answer(row["study"], found["result"], found["failure"])


_readers: dict[ModelChoice, StudyReader] = {}
"""The reader of this Ray process: tasks come and go, and the model stays loaded."""


def _read(batch: dict[str, Any], choice: ModelChoice) -> dict[str, list[str]]:
    if choice not in _readers:
        _readers[choice] = StudyReader(choice)
    studies = [str(study) for study in batch["study"]]
    found = [_readers[choice].answer(study) for study in studies]
    answers = [json.dumps({"result": one.result, "failure": one.failure}) for one in found]
    return {"study": studies, "answer": answers}
