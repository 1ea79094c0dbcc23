"""Several processes that train as one: the same global batch, the same result.

Each process looks at its share of every batch. What a single process would have known, all of them
come to know: batch norm takes its statistics over all shares, dropout draws one mask for the whole
batch, and the outputs are gathered, so that each process has the loss of the whole batch, whatever
that loss is made of. `DistributedDataParallel` then averages the gradients.

`torchrun` starts the processes and says so in the environment; a launcher that has already joined
them into a group, as Ray Train does, is taken at its word.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel


@dataclass(slots=True)
class Team:
    """The processes that train one network together; most often one alone."""

    rank: int = 0
    size: int = 1
    batch: int = 0
    """Pictures in the batch that is being worked on."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and talks to people."""
        return self.rank == 0

    @property
    def is_shared(self) -> bool:
        """Whether the batch is divided; one with fewer pictures than processes is done by all."""
        return 1 < self.size <= self.batch

    def share(self, pictures: int) -> slice:
        """Which pictures of a batch this process looks at: neighbours, as many as the others."""
        if pictures < self.size:
            return slice(0, pictures)
        return slice(pictures * self.rank // self.size, pictures * (self.rank + 1) // self.size)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def wrapped(self, network: Any) -> Any:
        """The network whose backward pass averages the gradients of all processes."""
        if self.size == 1:
            return network
        # Buffers need no broadcast: batch norm gives the same ones everywhere.
        return DistributedDataParallel(
            network, broadcast_buffers=False, find_unused_parameters=True
        )

    def gathered(self, output: Any) -> Any:
        """An output for the whole batch from those for the shares: a dataclass of tensors (n, ...).

        All processes work out the same loss from it. Its gradients come back once from each, and
        the average that `wrapped` takes makes one of them.
        """
        if not self.is_shared:
            return output
        if isinstance(output, Tensor):
            return self._gathered(output)
        if is_dataclass(output) and not isinstance(output, type):
            parts = {part.name: getattr(output, part.name) for part in fields(output)}
            return replace(output, **{name: self.gathered(part) for name, part in parts.items()})
        return output

    def _gathered(self, part: Tensor) -> Tensor:
        """(N, ...) from shares (n, ...): each lays its own into zeros, and the sum has them all."""
        mine = self.share(self.batch)
        whole = part.new_zeros(self.batch, *part.shape[1:])
        padding = [0, 0] * (part.ndim - 1) + [mine.start, self.batch - mine.stop]
        laid = F.pad(part, padding) if part.numel() else whole
        return differentiable.all_reduce(laid)  # type: ignore[no-any-return, no-untyped-call]

    @contextmanager
    def as_one(self, network: Any) -> Iterator[None]:
        """Inside, batch norm and dropout see the whole batch and not this process's share."""
        if self.size == 1:
            yield
            return
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.__dict__["forward"] = partial(_normalised, self, module)
            elif isinstance(module, nn.Dropout):
                module.__dict__["forward"] = partial(_dropped, self, module)
        try:
            yield
        finally:
            for module in network.modules():
                module.__dict__.pop("forward", None)


def team() -> Team:
    """This process's place among those that train together, which have joined already."""
    if dist.is_available() and dist.is_initialized():
        return Team(dist.get_rank(), dist.get_world_size())
    return Team()


@contextmanager
def joined_by_torchrun() -> Iterator[None]:
    """Inside, this process belongs to those that torchrun started with it; else nothing happens.

    Each takes the GPU of its local rank, and NCCL connects them; without GPUs Gloo does.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or dist.is_initialized():
        yield
        return
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if has_gpu else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def _normalised(team: Team, norm: _BatchNorm, values: Tensor) -> Tensor:
    """Batch norm (Ioffe and Szegedy, ICML 2015) with the statistics of all shares."""
    if not (norm.training and team.is_shared):
        alone: Tensor = type(norm).forward(norm, values)
        return alone
    over = [0, *range(2, values.ndim)]
    exact = values.to(torch.promote_types(values.dtype, torch.float32))
    sums = torch.cat([exact.sum(over), exact.new_tensor([values.numel() / values.shape[1]])])
    totals = differentiable.all_reduce(sums)  # type: ignore[no-untyped-call]
    count = totals[-1].detach()
    mean = totals[:-1] / count
    shape = [1, -1, *[1] * (values.ndim - 2)]
    centred = exact - mean.view(shape)
    # Two passes: the mean square less the squared mean loses what the single process keeps.
    variance = differentiable.all_reduce(centred.square().sum(over)) / count  # type: ignore[no-untyped-call]
    _remember(norm, mean.detach(), variance.detach() * count / (count - 1))
    scale = (variance + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight
    scaled = centred * scale.view(shape)
    if norm.affine:
        scaled = scaled + norm.bias.view(shape)
    result: Tensor = scaled.to(values.dtype)
    return result


@torch.no_grad()
def _remember(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics as torch's own batch norm does."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked.add_(1)
    momentum = norm.momentum or 1 / float(norm.num_batches_tracked)  # None is a plain average
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(variance, momentum)


def _dropped(team: Team, dropout: nn.Dropout, values: Tensor) -> Tensor:
    """Our rows of the mask that one process would have drawn for the whole batch."""
    if not (dropout.training and team.is_shared):
        return type(dropout).forward(dropout, values)
    mine = team.share(team.batch)
    repeats = values.shape[0] // max(1, mine.stop - mine.start)  # details of a picture are rows too
    whole = values.new_ones(team.batch * repeats, *values.shape[1:])
    if values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last):
        whole = whole.contiguous(memory_format=torch.channels_last)  # drawn in memory's order
    mask = F.dropout(whole, dropout.p, training=True)
    return values * mask[mine.start * repeats : mine.stop * repeats]
