"""What training changes in torch and on the screen while it runs, and puts back afterwards."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def torch_settings(*, deterministic: bool, device: torch.device) -> Iterator[None]:
    """Inside, torch may be seeded freely and keeps to repeatable algorithms where asked."""
    was_on = torch.are_deterministic_algorithms_enabled()
    was_lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    gpus = range(torch.cuda.device_count()) if device.type == "cuda" else ()
    with (
        torch.random.fork_rng(gpus),
        torch.backends.cudnn.flags(
            enabled=True, benchmark=not deterministic, deterministic=deterministic, allow_tf32=True
        ),
    ):
        torch.use_deterministic_algorithms(deterministic)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(was_on, warn_only=was_lenient)


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed torch for one epoch from these two numbers alone.

    So nothing that was drawn before an epoch matters in it, and no generator has to be saved.
    """
    torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]))


@contextmanager
def step_bar(title: str, steps: int | None, *, is_wanted: bool) -> Iterator[Callable[[], None]]:
    """A bar on stderr that the yielded function moves on by one; silent where no one looks on.

    Args:
        title: stands before the bar.
        steps: how many are expected; None when unknown.
        is_wanted: False for no bar at all.
    """
    console = Console(file=sys.stderr)
    if not (is_wanted and console.is_terminal):
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(title, total=steps)
        yield lambda: bar.advance(task)
