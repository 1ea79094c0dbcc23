"""Makes the start of the fast checkpoint: an EfficientNet-Lite0 that sees as a ResNet-50 does.

The teacher is the backbone of a `drenet-fpn` checkpoint; the student that of the recipe's network.
Both look at the same augmented training pictures, and the student learns to give the maps of the
teacher's last three stages through a 1x1 convolution each, which is thrown away; each channel
counts in units of its own deviation. No label is read, and no picture of a validation or test
patient. The first stages keep their ImageNet weights.

    python benchmarks/distil_lite.py configs/drenet_fpn_lite_three_class.toml --data DATA \
        --teacher runs/measured/checkpoint.safetensors --start efficientnet-lite0-57934424.pth \
        --cache runs/cache --out lite-start.safetensors

The file it writes is one for `deeppneumonia train --start`.
"""

import argparse
import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from deeppneumonia.checkpoint import load_checkpoint
from deeppneumonia.datasets import SliceLoader
from deeppneumonia.models import Network, create_model, load_start_weights
from deeppneumonia.workflows.prepare import prepare_cache
from deeppneumonia.workflows.recipes import read_recipe
from deeppneumonia.workflows.train import loaders_of

MAPS = 3
WARMUP_STEPS = 20


def main() -> None:
    """Read the slices, teach the student by the teacher, save its backbone."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", type=Path, help="of the student; its split and pictures count")
    parser.add_argument("--teacher", type=Path, required=True, help="a checkpoint")
    parser.add_argument("--start", type=Path, required=True, help="of the student's backbone")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("distil"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--frozen-stages", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    recipe = read_recipe(arguments.recipe)
    loader = loaders_of(recipe, prepare_cache(recipe, arguments.data, arguments.cache)).train
    teacher = load_checkpoint(arguments.teacher).network.eval()
    student = create_model(recipe.model, len(recipe.classes))
    load_start_weights(student, arguments.start)
    student.freeze_stages(arguments.frozen_stages)
    teach(student, teacher, loader, arguments)
    print(f"wrote {arguments.out}")


def teach(
    student: Network, teacher: Network, loader: SliceLoader, arguments: argparse.Namespace
) -> None:
    """AdamW on the squared distance to the teacher's maps, each in its own units."""
    adapters = nn.ModuleList(
        nn.Conv2d(own, wanted, 1)
        for own, wanted in zip(
            student.backbone.pyramid_channels, teacher.backbone.pyramid_channels, strict=True
        )
    )
    for network in (student, teacher, adapters):
        network.to(memory_format=torch.channels_last)
    learning = [*student.backbone.parameters(), *adapters.parameters()]
    optimizer = torch.optim.AdamW(
        [p for p in learning if p.requires_grad], lr=arguments.learning_rate, weight_decay=1e-4
    )
    scales: list[Tensor] = []
    steps = arguments.epochs * len(loader)
    bar = tqdm(total=steps, desc="student")
    student.train()
    for epoch in range(1, arguments.epochs + 1):
        loader.set_epoch(epoch)
        for batch in loader:
            with torch.autocast("cpu", torch.bfloat16):
                with torch.no_grad():
                    wanted = [m.float() for m in seen_by(teacher, batch.pictures)]
                scales = scales or [begun(*pair) for pair in zip(adapters, wanted, strict=True)]
                seen = seen_by(student, batch.pictures)
                given = [adapt(m) for adapt, m in zip(adapters, seen, strict=True)]
            losses = [
                ((g.float() - w) / s).square().mean()
                for g, w, s in zip(given, wanted, scales, strict=True)
            ]
            for group in optimizer.param_groups:
                group["lr"] = arguments.learning_rate * rate_at(bar.n, steps)
            optimizer.zero_grad()
            torch.stack(losses).sum().backward()
            nn.utils.clip_grad_norm_(learning, 5.0)
            optimizer.step()
            bar.update()
            bar.set_postfix_str(" ".join(f"{loss.item():.3f}" for loss in losses))
        save(student, arguments.out)


def save(student: Network, out: Path) -> None:
    """The backbone and its grey scale, as a file of start weights."""
    scale = {"pixel_mean": student.pixel_mean, "pixel_std": student.pixel_std}
    weights = {**student.backbone.state_dict(), **scale}
    save_file({name: value.contiguous() for name, value in weights.items()}, out)


def seen_by(network: Network, pictures: Tensor) -> tuple[Tensor, ...]:
    """The maps of the last three stages."""
    return network.backbone.last_maps(network.normalise(pictures), MAPS)


def begun(adapter: nn.Conv2d, wanted: Tensor) -> Tensor:
    """Let an adapter begin at the mean of each channel; their deviations (1, M, 1, 1), never 0."""
    nn.init.zeros_(adapter.weight)
    adapter.bias.data.copy_(wanted.mean(dim=(0, 2, 3)))
    return wanted.std(dim=(0, 2, 3), keepdim=True) + 0.01


def rate_at(step: int, steps: int) -> float:
    """The share of the learning rate: a short rise, then half a cosine."""
    return min(1, (step + 1) / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))


if __name__ == "__main__":
    main()
