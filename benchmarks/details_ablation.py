r"""What the details of DRE-Net on a feature pyramid are worth: other numbers of them, no ranking
loss, black around the lung.

    python benchmarks/details_ablation.py --data DATA --weights WEIGHTS --out OUT
    python benchmarks/details_ablation.py --data DATA --weights WEIGHTS --out OUT --only black

Folds, patients and recipe are those of the paper's second table (covid_v_healthy.toml), where
lungs tell more than exports do; each variant differs from `drenet-fpn` in one thing. Goes on where
it was stopped; folds of `drenet-fpn` from that table's own run may be laid into OUT/turns.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deeppneumonia.evaluation.comparison import auc_interval, delong_test, mcnemar_test
from deeppneumonia.models.dre_net_fpn import DreNetFpn
from deeppneumonia.models.feature_pyramid import SquareGrid
from deeppneumonia.models.proposals import pick_apart
from deeppneumonia.models.registry import DETAIL_NETWORKS
from deeppneumonia.preprocessing import Fill
from deeppneumonia.workflows.compare import compare
from deeppneumonia.workflows.comparison_numbers import patient_answers
from deeppneumonia.workflows.comparison_plan import Contender, read_plan
from deeppneumonia.workflows.comparison_store import TESTED, read_comparison

RECIPE = Path(__file__).parent.parent / "configs/compare/covid_v_healthy.toml"
BASE = "drenet-fpn"
DETAILS = {"one-large": (0, 1), "k2": (1, 1), "k4": (2, 2), "k8": (4, 4)}
"""Small and large details of each variant; `drenet-fpn` has three and three."""


def with_details(small: int, large: int) -> type[DreNetFpn]:
    """The network with so many details of each size."""

    class Variant(DreNetFpn):
        ranked_pairs = max((small + large) * (small + large - 1) / 2, 1)

        def pick(self, scores: Tensor, grid: SquareGrid) -> Tensor:
            groups = ((0, grid.small, small), (grid.small, len(grid.boxes), large))
            return torch.cat(
                [
                    pick_apart(scores[:, a:b], grid.overlaps[a:b, a:b], count) + a
                    for a, b, count in groups
                    if count
                ],
                dim=1,
            )

    return Variant


class Unranked(DreNetFpn):
    """Without the ranking loss: where to look is said by the lesions told alone."""

    ranked_pairs = float("inf")


def contenders(base: Contender) -> list[Contender]:
    """The network as it is, then each variant, known to the registry by its name."""
    for name, counts in DETAILS.items():
        DETAIL_NETWORKS[name] = (with_details(*counts), "resnet50")
    DETAIL_NETWORKS["unranked"] = (Unranked, "resnet50")
    others = [
        replace(base, name=name, recipe=replace(base.recipe, name=name, model=name))
        for name in ("unranked", *DETAILS)
    ]
    black = replace(base.recipe.preprocessing, fill=Fill.BLACK)
    recipe = replace(base.recipe, name="black", preprocessing=black)
    return [base, replace(base, name="black", recipe=recipe), *others]


def print_gains(out: Path) -> None:
    """One line a variant: patient AUC over all folds and by fold, and errors, beside the base."""
    comparison = read_comparison(out)
    classes = comparison.classes
    found = {
        name: patient_answers(answers[TESTED], classes)
        for name, answers in comparison.answers.items()
    }
    base = found[BASE]
    print("| | AUC | gain | p (DeLong) | AUC, mean of folds | gain | p (McNemar) |")
    print("|---" * 7 + "|")
    for name, one in found.items():
        pooled: Any = auc_interval(one.labels, one.probabilities)
        by_fold: Any = auc_interval(one.labels, one.probabilities, folds=one.folds)
        cells = [name, told(pooled), "", "", told(by_fold), "", ""]
        if name != BASE:
            pair = (one.labels, one.probabilities, base.probabilities)
            gain, within = delong_test(*pair), delong_test(*pair, folds=one.folds)
            errors = mcnemar_test(*pair)
            cells[2] = f"{gain.difference:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
            cells[3] = f"{gain.p_value:.3f}"
            cells[5] = f"{within.difference:+.3f} ({within.low:+.3f} to {within.high:+.3f})"
            cells[6] = f"{errors.p_value:.3f}"
        print("| " + " | ".join(cells) + " |")


def told(value: Any) -> str:
    return f"{value['value']:.3f} ({value['low']:.2f}-{value['high']:.2f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the start weights")
    parser.add_argument("--out", type=Path, required=True, help="folder of the comparison")
    parser.add_argument("--only", nargs="*", help="variants to train; all unless given")
    options = parser.parse_args(arguments)
    plan = read_plan(RECIPE, data=options.data, weights=options.weights, models=[BASE])
    chosen = [
        one
        for one in contenders(plan.contenders[0])
        if options.only is None or one.name in (BASE, *options.only)
    ]
    compare(replace(plan, contenders=tuple(chosen), external=()), options.out, announce=print)
    print_gains(options.out)


if __name__ == "__main__":
    main()
