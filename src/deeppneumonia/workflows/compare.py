"""Networks on the same folds of the same patients: trained, asked, and set beside each other.

A comparison may be stopped at any moment and started again with the same arguments: finished
turns are not taken again, and a training goes on after its last whole epoch.
"""

import json
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deeppneumonia.datasets.cache import Progress
from deeppneumonia.errors import TrainingError
from deeppneumonia.files import write_whole
from deeppneumonia.workflows.comparison_baseline import answer_by_statistics
from deeppneumonia.workflows.comparison_plan import (
    SIX_STATISTICS,
    ComparisonPlan,
    Contender,
    external_manifest,
    joined_manifest,
)
from deeppneumonia.workflows.comparison_store import collect
from deeppneumonia.workflows.comparison_tables import write_tables
from deeppneumonia.workflows.comparison_turns import Bench, take_turn
from deeppneumonia.workflows.train import start_network


def compare(
    plan: ComparisonPlan,
    out: Path,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    announce: Callable[[str], None] = lambda _text: None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train and test every network on every fold, and write the tables.

    Args:
        plan: what is compared on what.
        out: gets `comparison.json`, `predictions/`, `results.json`, `results.csv`, `tables.md` and
            the figures, after each network that is finished; keeps the state in `turns/` and the
            trainings in `runs/`.
        device: auto, cpu, cuda or cuda:N.
        progress: called with (rows preprocessed, rows in all).
        announce: called with a line for people after each turn.
        quiet: show no bar for the steps of training.

    Returns:
        What results.json holds.

    Raises:
        ManifestError, WeightsError, ConfigError: if something that was named cannot be used; all
            of it is looked at before the first training.
        TrainingError: if `out` holds another comparison, or a training fails.
    """
    manifest = joined_manifest(plan)
    external = {
        name: external_manifest(plan, path, manifest)
        for name, path in zip(plan.external_names, plan.external, strict=True)
    }
    bench = Bench(plan, manifest, external, out, device, quiet, progress, announce)
    bench.divided(bench.turns[0])  # refuses patients too few for the folds
    _check_networks(bench)
    out.mkdir(parents=True, exist_ok=True)
    _same_comparison(bench)
    answer_by_statistics(bench)
    finished = [SIX_STATISTICS]
    for contender in plan.contenders:
        _all_turns(bench, contender)
        finished.append(contender.name)
        results = _tables(bench, finished)
    return results


def _check_networks(bench: Bench) -> None:
    """Build every network that is still to be trained, so that a mistake shows at once."""
    for contender in bench.plan.contenders:
        if not bench.facts_of(contender.name, bench.turns[-1]).exists():
            start_network(contender.recipe, contender.start)


def _same_comparison(bench: Bench) -> None:
    """Refuse to mix the folds of other patients into what the folder holds."""
    now: dict[str, Any] = {
        "classes": list(bench.plan.classes.labels),
        "folds": bench.plan.folds,
        "manifest_sha256": bench.manifest.sha256,
        "external_sha256": {name: one.sha256 for name, one in bench.external.items()},
    }
    path = bench.out / "plan.json"
    known = json.loads(path.read_text()) if path.exists() else now
    external = known["external_sha256"] | now["external_sha256"]
    same_external = external == now["external_sha256"] | known["external_sha256"]
    now["external_sha256"] = external
    if {**known, "external_sha256": external} != now or not same_external:
        raise TrainingError(
            f"{bench.out} holds a comparison of other patients, classes or folds (see plan.json): "
            f"name another output folder, or take that one away."
        )
    write_whole(path, json.dumps(now, indent=1))


def _all_turns(bench: Bench, contender: Contender) -> None:
    """Every turn of one network; says how long the rest will take."""
    name = contender.name
    taken, started = 0, time.perf_counter()
    for number, turn in enumerate(bench.turns, start=1):
        if not take_turn(bench, contender, turn):
            continue
        taken += 1
        each = (time.perf_counter() - started) / taken
        facts = json.loads(bench.facts_of(name, turn).read_text())
        # The validation AUC: one that is watched while training goes on may be of no test patient.
        bench.announce(
            f"{name}, repeat {turn.repeat}, fold {turn.fold} of {bench.plan.folds}: validation "
            f"AUC {facts['training']['validation_patient_auc']:.3f} in epoch "
            f"{facts['training']['best_epoch']}, {each:.0f} s a fold, about "
            f"{each * (len(bench.turns) - number) / 60:.0f} min left for {name}"
        )


def _tables(bench: Bench, finished: list[str]) -> dict[str, Any]:
    plan = bench.plan
    whose = {(row.label, row.patient_id) for row in bench.manifest.rows}
    facts = {
        "name": plan.name,
        "classes": list(plan.classes.labels),
        "patients": {label: sum(one == label for one, _ in whose) for label in plan.classes.labels},
        "folds": plan.folds,
        "repeats": plan.repeats,
        "sites": sorted({row.site for row in bench.manifest.rows}),
        "external": list(bench.external),
        "manifest_sha256": bench.manifest.sha256,
        "version": version("deeppneumonia"),
    }
    turns_of = {name: [bench.facts_of(name, turn) for turn in bench.turns] for name in finished}
    collected = collect(bench.out, facts, turns_of)
    return write_tables(collected, bench.out)
