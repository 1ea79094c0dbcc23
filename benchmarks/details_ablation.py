r"""What the details of DRE-Net on a feature pyramid are worth: other numbers of them, no ranking
loss, black around the lung.

    python benchmarks/details_ablation.py --data DATA --weights WEIGHTS --out OUT
    python benchmarks/details_ablation.py --data DATA --weights WEIGHTS --out OUT --only black

Folds, patients and recipe are those of the paper's second table (covid_v_healthy.toml), where
lungs tell more than exports do; each variant differs from `drenet-fpn` in one thing. Goes on where
it was stopped; folds of `drenet-fpn` from that table's own run may be laid into OUT/turns.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from deeppneumonia.evaluation.comparison import auc_interval
from deeppneumonia.models.dre_net_fpn import DreNetFpn
from deeppneumonia.models.registry import DETAIL_NETWORKS
from deeppneumonia.preprocessing import Fill
from deeppneumonia.reports.comparison import paired_cells, score_cell
from deeppneumonia.workflows.compare import compare
from deeppneumonia.workflows.comparison_numbers import paired_tests, patient_answers
from deeppneumonia.workflows.comparison_plan import Contender, read_plan
from deeppneumonia.workflows.comparison_store import TESTED, read_comparison

RECIPE = Path(__file__).parent.parent / "configs/compare/covid_v_healthy.toml"
BASE = "drenet-fpn"
DETAILS = {"one-large": (0, 1), "k2": (1, 1), "k4": (2, 2), "k8": (4, 4)}
"""Small and large details of each variant; `drenet-fpn` has three and three."""


def with_details(small: int, large: int) -> type[DreNetFpn]:
    """The network with so many details of each size."""

    class Variant(DreNetFpn):
        counts = (small, large)
        ranked_pairs = max((small + large) * (small + large - 1) / 2, 1)

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
    print(
        "| | AUC | AUC minus its | p (DeLong) | mean of folds minus its | p "
        "| right where it errs | wrong where it is right | p (McNemar) |"
    )
    print("|---" * 9 + "|")
    for name, one in found.items():
        tests = paired_cells(paired_tests(one, base, within_folds=True))
        area = score_cell(auc_interval(one.labels, one.probabilities))
        print("| " + " | ".join([name, area, *(tests if name != BASE else [""] * 7)]) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the start weights")
    parser.add_argument("--out", type=Path, required=True, help="folder of the comparison")
    parser.add_argument("--only", nargs="*", help="variants to train; all unless given")
    options = parser.parse_args()
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
