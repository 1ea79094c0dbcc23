r"""What the choices in DRE-Net on a feature pyramid are worth: other numbers of details, no ranking
loss, black around the lung, the grey scale, a larger picture, other changes in training, another
start.

    python benchmarks/details_ablation.py --data DATA --weights WEIGHTS --out OUT
    python benchmarks/details_ablation.py --data DATA --weights WEIGHTS --out OUT --only black

Folds, patients and recipe are those of the paper's second table (covid_v_healthy.toml), where
lungs tell more than exports do; each variant differs from `drenet-fpn` in one thing. Goes on where
it was stopped; folds of `drenet-fpn` from that table's own run may be laid into OUT/turns.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional as F

from deeppneumonia.evaluation.comparison import auc_interval
from deeppneumonia.models.dre_net_fpn import DreNetFpn
from deeppneumonia.models.network import NetworkOutput
from deeppneumonia.models.registry import DETAIL_NETWORKS
from deeppneumonia.preprocessing import Fill, Intensity
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


class Mixed(DreNetFpn):
    """Learns from sums of two pictures, each with a label's share (mixup, Zhang et al., 2018)."""

    def forward(self, pictures: Tensor) -> NetworkOutput:
        """As ever, but for pictures that are learned from: those are mixed first."""
        if not self.training:
            return super().forward(pictures)
        self.share = Beta(0.4, 0.4).sample().item()
        self.partner = torch.randperm(len(pictures), device=pictures.device)
        mixed = self.share * pictures.float()
        return super().forward(mixed + (1 - self.share) * pictures[self.partner].float())

    def loss(self, output: NetworkOutput, targets: Tensor, *known: Tensor | None) -> Tensor:
        """That of both labels, as far as each is in the picture."""
        own = super().loss(output, targets, *known)
        if not self.training:
            return own
        others = super().loss(output, targets[self.partner], *known)
        return self.share * own + (1 - self.share) * others


BLUR_PX = 1.5
"""Standard deviation of the softest kernel; the sharpest takes as much away as this one adds."""


class OtherKernels(DreNetFpn):
    """Learns from pictures as softer and sharper reconstruction kernels might have shown them."""

    def forward(self, pictures: Tensor) -> NetworkOutput:
        """As ever, but for pictures that are learned from: each is blurred or sharpened first."""
        if not self.training:
            return super().forward(pictures)
        grey = pictures.float()
        line = torch.from_numpy(cv2.getGaussianKernel(9, BLUR_PX)).to(grey)  # (9, 1)
        soft = F.conv2d(F.pad(grey, (4, 4, 4, 4), mode="reflect"), (line @ line.T)[None, None])
        sharpness = 2 * torch.rand(len(grey), 1, 1, 1, device=grey.device) - 1
        return super().forward((grey + sharpness * (grey - soft)).clamp(0, 255))


NETWORKS: dict[str, type[DreNetFpn]] = {
    "mixed": Mixed,
    "other-kernels": OtherKernels,
    "unranked": Unranked,
    **{name: with_details(*counts) for name, counts in DETAILS.items()},
}
NO_GREY_CHANGES = {"brightness": 0.0, "contrast": 0.0, "gamma": 0.0}
CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "black": ("preprocessing", {"fill": Fill.BLACK}),
    "320px": ("preprocessing", {"picture_px": 320}),
    "grey-as-it-came": ("preprocessing", {"intensity": Intensity.WINDOW}),
    "grey-unchanged": ("augmentation", NO_GREY_CHANGES),
    "noise": ("augmentation", {"noise": 12.0}),
    "averaged-weights": ("training", {"weight_average": 0.95}),
}
"""Other entries of the recipe: of which table, and which. The average is that of the last 20 of 135
steps."""

SELF_SUPERVISED = "self-supervised"


def contenders(base: Contender, self_supervised: Path | None) -> list[Contender]:
    """The network as it is, then each variant, known to the registry by its name."""
    found = [base]
    for name, (table, change) in CHANGES.items():
        changed = replace(getattr(base.recipe, table), **change)
        recipe = replace(base.recipe, **{"name": name, table: changed})
        found.append(replace(base, name=name, recipe=recipe))
    for name, network in NETWORKS.items():
        DETAIL_NETWORKS[name] = (network, "resnet50")
        recipe = replace(base.recipe, name=name, model=name)
        found.append(replace(base, name=name, recipe=recipe))
    if self_supervised:
        recipe = replace(base.recipe, name=SELF_SUPERVISED)
        start = str(self_supervised)
        found.append(replace(base, name=SELF_SUPERVISED, recipe=recipe, start=start))
    return found


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
    parser.add_argument(
        "--self-supervised",
        type=Path,
        help="start of self_supervised_start.py, tried too",
    )
    options = parser.parse_args()
    plan = read_plan(RECIPE, data=options.data, weights=options.weights, models=[BASE])
    chosen = [
        one
        for one in contenders(plan.contenders[0], options.self_supervised)
        if options.only is None or one.name in (BASE, *options.only)
    ]
    compare(replace(plan, contenders=tuple(chosen), external=()), options.out, announce=print)
    print_gains(options.out)


if __name__ == "__main__":
    main()
