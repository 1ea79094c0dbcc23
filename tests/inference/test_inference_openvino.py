"""A backbone run by OpenVINO gives what torch gives; an engine is refused where it does not fit."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deeppneumonia.checkpoint import Checkpoint, CheckpointMetadata
from deeppneumonia.domain import ClassSet
from deeppneumonia.errors import CheckpointError
from deeppneumonia.inference import TorchEngine
from deeppneumonia.inference.engine_files import FACTS, GRAPH, Precision
from deeppneumonia.models import create_model
from deeppneumonia.preprocessing import PreprocessConfig

openvino = pytest.importorskip("openvino")

from deeppneumonia.inference.export import backbone_graph, quantised, write_engine  # noqa: E402
from deeppneumonia.inference.openvino import OpenVinoEngine  # noqa: E402

SIDE_PX = 64


def untrained(name: str) -> Checkpoint:
    torch.manual_seed(0)
    metadata = CheckpointMetadata(
        model=name,
        classes=ClassSet(("covid", "bacterial", "healthy")),
        preprocessing=PreprocessConfig(picture_px=SIDE_PX),
    )
    return Checkpoint(create_model(name, 3).eval(), metadata, "0" * 64)


def pictures(count: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (count, 8, 8), np.uint8)
    return np.kron(coarse, np.ones((1, SIDE_PX // 8, SIDE_PX // 8), np.uint8))


def exported(checkpoint: Checkpoint, folder: Path, precision: Precision) -> OpenVinoEngine:
    graph = backbone_graph(checkpoint)
    if precision is Precision.INT8:
        graph = quantised(graph, checkpoint, pictures(8))
    write_engine(folder, graph, checkpoint, precision, {})
    return OpenVinoEngine(checkpoint, folder)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "drenet-fpn", "drenet-fpn-lite"])
def test_in_float32_the_answers_are_those_of_torch(name: str, tmp_path: Path) -> None:
    checkpoint = untrained(name)
    seen = pictures(3)
    truth = TorchEngine(checkpoint, device="cpu").run(seen, keep_maps=True)
    output = exported(checkpoint, tmp_path / "engine", Precision.FLOAT32).run(seen, keep_maps=True)
    assert np.abs(output.probabilities - truth.probabilities).max() < 1e-5
    # The same sums in another order: float32 has seven digits, and sums are a hundred layers deep.
    apart = np.abs(output.features - truth.features).max()
    assert apart < 1e-5 * np.abs(truth.features).max()
    assert np.array_equal(output.boxes, truth.boxes)
    assert [tuple(each.shape) for each in output.maps] == [tuple(one.shape) for one in truth.maps]


def test_in_int8_the_answers_stay_near_and_are_not_the_same(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    checkpoint = untrained("resnet18")
    seen = pictures(6)
    truth = TorchEngine(checkpoint, device="cpu").run(seen)
    output = exported(checkpoint, tmp_path / "engine", Precision.INT8).run(seen)
    moved = np.abs(output.features - truth.features).max() / np.abs(truth.features).max()
    assert 0 < moved < 0.1


def test_a_picture_gets_the_same_answer_alone_and_among_others(tmp_path: Path) -> None:
    engine = exported(untrained("resnet18"), tmp_path / "engine", Precision.FLOAT32)
    seen = pictures(5)
    alone = np.concatenate([engine.run(one[None]).probabilities for one in seen])
    # The backbone's maps are the same to the last bit; torch's heads round by the batch.
    assert np.abs(engine.run(seen).probabilities - alone).max() < 1e-6
    both, one = (engine.run(part, keep_maps=True).maps[-1] for part in (seen, seen[:1]))
    assert torch.equal(both[:1], one)


def test_threads_may_ask_one_engine_at_a_time(tmp_path: Path) -> None:
    engine = exported(untrained("resnet18"), tmp_path / "engine", Precision.FLOAT32)
    parts = np.split(pictures(12), 4)
    alone = [engine.run(part).probabilities for part in parts]
    with ThreadPoolExecutor(4) as pool:
        together = [output.probabilities for output in pool.map(engine.run, parts)]
    assert np.abs(np.array(together) - np.array(alone)).max() < 1e-6


def test_no_pictures_have_no_answers(tmp_path: Path) -> None:
    engine = exported(untrained("resnet18"), tmp_path / "engine", Precision.FLOAT32)
    assert engine.run(pictures(0)).probabilities.shape == (0, 3)


def test_an_engine_of_another_checkpoint_is_refused(tmp_path: Path) -> None:
    checkpoint = untrained("resnet18")
    exported(checkpoint, tmp_path / "engine", Precision.FLOAT32)
    with pytest.raises(CheckpointError, match="another checkpoint"):
        OpenVinoEngine(replace(checkpoint, sha256="1" * 64), tmp_path / "engine")


@pytest.mark.parametrize("damage", ["changed", "missing", "another format", "no JSON"])
def test_a_damaged_engine_is_refused_with_what_to_do(damage: str, tmp_path: Path) -> None:
    checkpoint = untrained("resnet18")
    exported(checkpoint, tmp_path, Precision.FLOAT32)
    checkpoint.network.backbone.runner = None
    graph, facts = tmp_path / GRAPH, tmp_path / FACTS
    if damage == "changed":
        graph.write_text(graph.read_text() + " ")
    elif damage == "missing":
        graph.unlink()
    elif damage == "another format":
        facts.write_text(json.dumps({**json.loads(facts.read_text()), "format": "other"}))
    else:
        facts.write_text("{")
    with pytest.raises(CheckpointError, match="deeppneumonia export"):
        OpenVinoEngine(checkpoint, tmp_path)
