r"""From slices to a patient: attention that learns which slices count, beside the plain mean.

    python benchmarks/slice_attention.py --data DATA --weights WEIGHTS --cache CACHE

The 133 patients and the five folds of benchmarks/results/covid-v-bacterial. A backbone that stands
still (the chest CT start, which saw none of these pictures) reads every slice at 224 px; 32
principal components of it go to a linear answer, all learned from the three training folds. The
answers differ in where slices become a patient: probabilities averaged (as in the product),
features averaged, or features weighed by gated attention (Ilse et al., ICML 2018), whose steps are
chosen on the validation fold; five seeds are averaged.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import trange

from deeppneumonia.datasets import SliceCache, build_cache, read_manifest
from deeppneumonia.evaluation.comparison import auc_interval, delong_test
from deeppneumonia.models import Network, create_model, load_start_weights
from deeppneumonia.models.dre_net_fpn import GatedAttention
from deeppneumonia.preprocessing import Intensity, PreprocessConfig
from deeppneumonia.reports.comparison import difference_cells, score_cell
from deeppneumonia.workflows.comparison_store import TESTED, read_comparison

RESULTS = Path(__file__).parent / "results" / "covid-v-bacterial"
START = "ct_resnet50_start_bf16.safetensors"
CLASSES = ("covid", "bacterial")
FOLDS = 5
COMPONENTS = 32
SEEDS, STEPS, RATE, DECAY = 5, 300, 0.003, 0.1
BATCH = 16
Floats = NDArray[np.float64]
Patients = Mapping[str, Floats]
"""Of each patient the features (n, D) of its slices."""


def read_slices(network: Network, cache: SliceCache) -> Patients:
    """The pooled maps of the last two stages, side by side."""
    entries = cache.kept
    pictures = torch.from_numpy(cache.pictures_of(entries)[:, None])
    found = []
    with torch.inference_mode():
        for start in trange(0, len(pictures), BATCH, desc="slices"):
            pixels = network.normalise(pictures[start : start + BATCH])
            maps = network.backbone.last_maps(pixels, 2)
            found.append(torch.cat([network.backbone.pool(one) for one in maps], dim=1))
    features = torch.cat(found).double().numpy()
    whose = np.array([entry.patient_id for entry in entries])
    return {name: features[whose == name] for name in sorted(set(whose))}


def components(train: Patients) -> Pipeline:
    """What standardises slices and keeps 32 numbers of each, from training patients alone."""
    steps = make_pipeline(StandardScaler(), PCA(COMPONENTS, random_state=0), StandardScaler())
    return steps.fit(np.concatenate(list(train.values())))


def linear(inputs: Floats, labels: NDArray[np.int64], shares: Floats) -> LogisticRegression:
    """A balanced linear answer; `shares` is what each row counts."""
    counts = np.array([shares[labels == label].sum() for label in (0, 1)])
    return LogisticRegression(C=0.1, max_iter=1000).fit(inputs, labels, shares / counts[labels])


Way = Callable[[Patients, Patients, Patients, Mapping[str, int]], dict[str, Floats]]
"""From training, validation and tested patients: probabilities (2,) of those tested."""


def probabilities_averaged(train: Patients, _: Patients, test: Patients, label: Mapping[str, int]):
    """The product's way: each slice is answered, and the mean is the patient's answer."""
    labels = np.concatenate([[label[name]] * len(slices) for name, slices in train.items()])
    shares = np.concatenate([np.full(len(slices), 100 / len(slices)) for slices in train.values()])
    head = linear(np.concatenate(list(train.values())), labels, shares)
    return {name: head.predict_proba(slices).mean(axis=0) for name, slices in test.items()}


def mean_head(train: Patients, label: Mapping[str, int]) -> LogisticRegression:
    """A linear answer from the mean of a patient's slices."""
    inputs = np.stack([slices.mean(axis=0) for slices in train.values()])
    return linear(inputs, np.array([label[name] for name in train]), np.full(len(train), 100.0))


def features_averaged(train: Patients, _: Patients, test: Patients, label: Mapping[str, int]):
    """One answer from the mean of the slices' features."""
    head = mean_head(train, label)
    return {name: head.predict_proba(slices.mean(axis=0)[None])[0] for name, slices in test.items()}


class Attentive(nn.Module):
    """Logits (P, 2) of P patients, each slice weighed by what it holds (gated attention)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = GatedAttention(width, 16)
        self.answer = nn.Linear(width, len(CLASSES))

    def forward(self, slices: Tensor, is_of: Tensor) -> Tensor:
        """From all slices (n, D), and whose each is, (P, n)."""
        scores = self.attention.scores(slices)  # (n,)
        weights = torch.where(is_of, scores, -torch.inf).softmax(dim=1)  # (P, n)
        return self.answer(weights @ slices)


def together(patients: Patients) -> tuple[Tensor, Tensor]:
    """All slices (n, D) in one, and whose each is, (P, n)."""
    owners = np.repeat(np.arange(len(patients)), [len(slices) for slices in patients.values()])
    slices = torch.from_numpy(np.concatenate(list(patients.values()))).float()
    return slices, torch.from_numpy(owners == np.arange(len(patients))[:, None])


def begun_at_mean(network: Attentive, train: Patients, label: Mapping[str, int]) -> None:
    """Let all slices count alike at first, and the answer be that from their mean."""
    head = mean_head(train, label)
    weight, bias = (torch.from_numpy(part).float() / 2 for part in (head.coef_, head.intercept_))
    with torch.no_grad():
        for part in network.attention.score.parameters():
            part.zero_()
        network.answer.weight.copy_(torch.cat([-weight, weight]))
        network.answer.bias.copy_(torch.cat([-bias, bias]))


def attention_from_mean(*parts: Any) -> dict[str, Floats]:
    """Attention that departs from the mean only where the validation patients gain by it."""
    return attention(*parts, from_mean=True)


def attention(
    train: Patients,
    validation: Patients,
    test: Patients,
    label: Mapping[str, int],
    *,
    from_mean: bool = False,
):
    """Mean of several seeds, each as it was at its least loss on the validation patients."""
    sets = [together(part) for part in (train, validation)]
    targets = [torch.tensor([label[name] for name in part]) for part in (train, validation)]
    balance = 1 / torch.bincount(targets[0]).float()
    told = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        network = Attentive(COMPONENTS)
        if from_mean:
            begun_at_mean(network, train, label)
        optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
        least, best = float("inf"), network.state_dict()
        for _ in range(STEPS):
            losses = [
                F.cross_entropy(network(*one), wanted, balance)
                for one, wanted in zip(sets, targets, strict=True)
            ]
            if losses[1].item() < least:
                least = losses[1].item()
                best = {name: value.clone() for name, value in network.state_dict().items()}
            optimizer.zero_grad()
            losses[0].backward()
            optimizer.step()
        network.load_state_dict(best)
        with torch.inference_mode():
            told.append(network(*together(test)).softmax(dim=1).double().numpy())
    return dict(zip(test, np.mean(told, axis=0), strict=True))


WAYS: dict[str, Way] = {
    "mean of probabilities": probabilities_averaged,
    "mean of features": features_averaged,
    "attention, learned from random weights": attention,
    "attention, learned from the mean": attention_from_mean,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the start weights")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the pictures")
    options = parser.parse_args()
    config = PreprocessConfig(picture_px=224, intensity=Intensity.LUNG)
    manifest = read_manifest(options.data / "song2021" / "manifest.csv")
    network = create_model("resnet50", len(CLASSES))
    load_start_weights(network, options.weights / START)
    slices = read_slices(network.eval(), build_cache(manifest, config, options.cache))

    stored = read_comparison(RESULTS).answers["resnet50"][TESTED]
    names, first = np.unique(stored.patients, return_index=True)
    labels, folds = stored.labels[first], stored.folds[0, first]
    label = dict(zip(names, labels, strict=True))
    answers = {way: np.full((1, len(names), 2), 0.5) for way in WAYS}
    for fold in range(1, FOLDS + 1):
        tested, validating = folds == fold, folds == fold % FOLDS + 1
        parts = [
            {name: slices[name] for name in names[part] if name in slices}
            for part in (~tested & ~validating, validating, tested)
        ]
        reduce = components(parts[0])
        parts = [{n: reduce.transform(s) for n, s in part.items()} for part in parts]
        for way, learn in WAYS.items():
            for name, told in learn(*parts, label).items():
                answers[way][0, np.searchsorted(names, name)] = told
        print(f"fold {fold} of {FOLDS}")

    print("| | AUC, mean of folds | gain over the mean of probabilities |\n|---|---|---|")
    every = folds[None]
    base = answers["mean of probabilities"]
    for way, found in answers.items():
        test = delong_test(labels, found, base, folds=every)
        score = score_cell(auc_interval(labels, found, folds=every))
        print(f"| {way} | {score} | {difference_cells(asdict(test))[0]} |")


if __name__ == "__main__":
    main()
