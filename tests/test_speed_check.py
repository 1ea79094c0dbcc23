"""`make bench-check` lets a ratio fall by a fifth and no further."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def one_study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("one_study", BENCHMARKS / "one_study.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for name in ("speed_limits", "speed_others", "speed_studies"):
        sys.modules.pop(name, None)


def test_equal_and_better_ratios_pass(one_study: ModuleType) -> None:
    assert one_study._lost({"a": 10.0, "b": 3.0}, {"a": 10.0, "b": 2.0}) == 0


def test_a_ratio_may_fall_by_a_fifth(one_study: ModuleType) -> None:
    assert one_study._lost({"a": 8.1}, {"a": 10.0}) == 0


def test_a_ratio_that_fell_further_is_named(one_study: ModuleType) -> None:
    said = one_study._lost({"a": 7.9, "b": 2.0}, {"a": 10.0, "b": 2.0})
    assert "a: 7.90, stored 10.00" in said and "b:" not in said


def test_a_ratio_that_is_missing_is_lost(one_study: ModuleType) -> None:
    assert "a: 0.00" in one_study._lost({}, {"a": 10.0})


def test_a_refused_engine_of_ours_that_grew_faster_is_no_loss(one_study: ModuleType) -> None:
    name = "ours, OpenVINO bf16 (refused)"
    assert one_study._lost({name: 0.5}, {name: 0.8}) == 0
