r"""A ResNet-50 goes on learning from chest CT without labels: which two views are of one slice.

    python benchmarks/self_supervised_start.py --data DATA --weights WEIGHTS --cache CACHE \
        --out self-supervised.safetensors

Every open slice is cut, moved and changed in grey twice, and the network learns to tell which two
of a batch were one (SimCLR, Chen et al., ICML 2020), from the chest CT start on, its first two
stages standing still. No label is read. It sees pictures of patients who are tested later, so
what it gains is the most that one could hope for.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from distil_lite import rate_at
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from deeppneumonia.datasets import build_cache, read_manifest
from deeppneumonia.datasets.augmentation import AugmentConfig, augmented
from deeppneumonia.models import Network, create_model, load_start_weights
from deeppneumonia.preprocessing import Intensity, PreprocessConfig

SETS = ("song2021", "mosmed", "ccccii", "luna16", "medseg", "saopaulo", "covid_ct_md")
START = "ct_resnet50_start_bf16.safetensors"
PICTURE_PX, VIEW_PX = 192, 128
LEAST_CUT = 0.45
"""Side of the smallest view, as a share of the picture's."""

CHANGES = AugmentConfig(brightness=0.3, contrast=0.4, gamma=0.4, rotation_deg=15, shift=0)
BATCH = 64
RATES = (1e-4, 1e-3)
"""Of the backbone and of what compares views."""

TEMPERATURE = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the start weights")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    torch.manual_seed(0)
    pictures = slices_of(options.data, options.cache)
    network = create_model("resnet50", 2)
    load_start_weights(network, options.weights / START)
    network.freeze_stages(2)
    learn(network, pictures, options.epochs)
    scale = {"pixel_mean": network.pixel_mean, "pixel_std": network.pixel_std}
    weights = {**network.backbone.state_dict(), **scale}
    kept = {
        name: value.contiguous() for name, value in weights.items() if not name.startswith("fc.")
    }
    save_file(kept, options.out)
    print(f"{len(pictures)} slices; wrote {options.out}")


def slices_of(data: Path, cache: Path) -> NDArray[np.uint8]:
    """(n, 192, 192): every slice of the open sets that can be read."""
    config = PreprocessConfig(picture_px=PICTURE_PX, intensity=Intensity.LUNG)
    found = []
    for name in SETS:
        built = build_cache(read_manifest(data / name / "manifest.csv"), config, cache)
        found.append(built.pictures_of(built.kept))
    return np.concatenate(found)


def learn(network: Network, pictures: NDArray[np.uint8], epochs: int) -> None:
    """AdamW over so many passes; changes the backbone in place."""
    width = network.backbone.map_channels
    compare = nn.Sequential(nn.Linear(width, 512), nn.ReLU(), nn.Linear(512, 128))
    network.to(memory_format=torch.channels_last).train()
    trained = [value for value in network.backbone.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(
        [{"params": trained}, {"params": compare.parameters()}], weight_decay=1e-4
    )
    steps = epochs * (len(pictures) // BATCH)
    bar = tqdm(batches(pictures, epochs), total=steps, desc="views")
    for step, views in enumerate(bar):
        for group, rate in zip(optimizer.param_groups, RATES, strict=True):
            group["lr"] = rate * rate_at(step, steps)
        with torch.autocast("cpu", torch.bfloat16):
            last = network.backbone.last_maps(network.normalise(views), 1)[0]
            seen = compare(last.mean(dim=(2, 3)))
        loss, right = told_apart(seen.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bar.set_postfix_str(f"loss {loss.item():.3f}, right {right:.2f}")


def told_apart(seen: Tensor) -> tuple[Tensor, float]:
    """The loss of (2n, D), of which row i and row i + n are one slice, and how many were found."""
    count = len(seen) // 2
    seen = F.normalize(seen, dim=1)
    likeness = (seen @ seen.T / TEMPERATURE).fill_diagonal_(-math.inf)  # (2n, 2n)
    partner = torch.arange(2 * count).roll(count)
    right = (likeness.argmax(dim=1) == partner).float().mean().item()
    return F.cross_entropy(likeness, partner), right


def batches(pictures: NDArray[np.uint8], epochs: int) -> Iterator[Tensor]:
    """(2n, 1, 128, 128): one view of n slices, then another of each, in a new order every pass."""
    random = np.random.default_rng(0)
    for _ in range(epochs):
        order = random.permutation(len(pictures))
        for first in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[first : first + BATCH]
            views = [view_of(pictures[row], random) for _ in range(2) for row in rows]
            yield torch.from_numpy(np.stack(views)[:, None])


def view_of(picture: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """A part of a picture, changed in grey, turned, perhaps mirrored and blurred: (128, 128)."""
    side = round(PICTURE_PX * random.uniform(LEAST_CUT, 1))
    row, column = random.integers(PICTURE_PX - side + 1, size=2)
    cut = picture[row : row + side, column : column + side]
    view = cv2.resize(cut, (VIEW_PX, VIEW_PX), interpolation=cv2.INTER_AREA)
    if random.random() < 0.5:
        view = cv2.GaussianBlur(view, (0, 0), random.uniform(0.3, 1.5))
    return augmented(view.astype(np.uint8), CHANGES, random)


if __name__ == "__main__":
    main()
