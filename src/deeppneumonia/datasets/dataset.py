"""Batches of cached slices for a network, the same ones for the same seed and epoch."""

import hashlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeppneumonia.datasets.augmentation import AugmentConfig, augmented, moved_alike
from deeppneumonia.datasets.cache import SliceCache, SliceEntry
from deeppneumonia.datasets.lesions import LESION, UNKNOWN, LesionMaps
from deeppneumonia.domain import ClassSet

_AHEAD = 3  # batches made while the network works on one
_THREADS = 2

CELL_PX = 8
"""Side of the cells for which a batch says how much lesion they hold."""


@dataclass(frozen=True, slots=True)
class SliceBatch:
    """Slices that go through a network together."""

    pictures: Tensor
    """(N, 1, side, side), uint8; only some of them where the loader was given a share."""

    labels: Tensor
    """(N,), int64: outputs of the class set."""

    groups: list[str]
    """The patient of each slice."""

    lesions: Tensor | None = None
    """(N, side / 8, side / 8): the share of lesion in every cell, -1 where it is unknown; None
    where the loader knows nothing of lesions."""


class SliceLoader:
    """An iterable of batches, with an epoch that is set from outside.

    For training (`augment` is given) slices are shuffled and changed; for evaluation all go
    through in order as they are. What a batch holds depends on the seed, the epoch and the entries
    alone, so that a resumed training sees what an unbroken one would have seen.

    Args:
        cache: where the pictures are.
        entries: kept slices, such as `cache.entries_of("train")`; their labels are in `classes`.
        classes: the order of the labels.
        batch_size: slices per batch; the last batch may be smaller, in training one larger.
        seed: another seed gives other orders and changes.
        augment: how far pictures are changed in training; None for evaluation.
        slices_per_patient: for training, the most slices of one patient in one epoch, drawn anew
            for each; None for all.
        input_px: side of the pictures that the network takes; the cache must have it.
        lesions: what is known of lesions in some of the slices; None for nothing.
    """

    def __init__(  # noqa: PLR0913
        self,
        cache: SliceCache,
        entries: Sequence[SliceEntry],
        classes: ClassSet,
        *,
        batch_size: int,
        seed: int,
        augment: AugmentConfig | None,
        input_px: int,
        slices_per_patient: int | None = None,
        lesions: LesionMaps | None = None,
    ) -> None:
        side_px = cache.pictures.shape[1]
        if side_px != input_px:
            raise ValueError(
                f"the network takes {input_px} px and the cache holds {side_px} px; "
                "build the cache with that side"
            )
        if batch_size < 1 or (slices_per_patient is not None and slices_per_patient < 1):
            raise ValueError("batch_size and slices_per_patient must be 1 or more")
        if slices_per_patient is not None and augment is None:
            raise ValueError("slices_per_patient is for training: evaluation sees every slice")
        self.entries = tuple(entries)
        self.labels = np.array([classes.index(entry.label) for entry in self.entries], np.int64)
        self._classes = len(classes)
        self._array_rows = [_array_row_of(entry) for entry in self.entries]
        self._pictures = cache.pictures
        self._batch_size = batch_size
        self._seed = seed
        self._slices_per_patient = slices_per_patient
        self._augment = augment
        self._lesions = lesions
        self._unknown = np.full((side_px, side_px), UNKNOWN, np.uint8)
        self._epoch = 0
        self._share: Callable[[int], slice] = slice
        self._of_patient: dict[str, list[int]] = defaultdict(list)
        for position, entry in enumerate(self.entries):
            self._of_patient[entry.patient_id].append(position)

    @property
    def class_counts(self) -> list[int]:
        """Slices of each class in one pass."""
        limit = self._slices_per_patient or len(self.entries)
        counts = [0] * self._classes
        for positions in self._of_patient.values():
            counts[int(self.labels[positions[0]])] += min(limit, len(positions))
        return counts

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass is for."""
        self._epoch = epoch

    def set_share(self, share: Callable[[int], slice]) -> None:
        """Make, of a batch of n, only the pictures `share(n)`; labels and groups stay whole."""
        self._share = share

    def __len__(self) -> int:
        """Batches in one pass."""
        limit = self._slices_per_patient or len(self.entries)
        slices = sum(min(limit, len(positions)) for positions in self._of_patient.values())
        return len(self._parts(slices))

    def __iter__(self) -> Iterator[SliceBatch]:
        order = self._order()
        epoch = self._epoch
        parts = iter(self._parts(len(order)))
        waiting: deque[Future[SliceBatch]] = deque()
        with ThreadPoolExecutor(_THREADS) as pool:
            while True:
                while len(waiting) < _AHEAD and (part := next(parts, None)) is not None:
                    waiting.append(pool.submit(self._batch, order[part], epoch))
                if not waiting:
                    return
                yield waiting.popleft().result()

    def _parts(self, slices: int) -> list[slice]:
        """Which part of the order each batch is.

        A lone slice at the end of a training epoch joins the batch before it: batch normalisation
        has no spread to take from one.
        """
        starts = list(range(0, slices, self._batch_size))
        if self._augment is not None and len(starts) > 1 and slices % self._batch_size == 1:
            starts.pop()
        return [slice(start, end) for start, end in pairwise([*starts, slices])]

    def _order(self) -> list[int]:
        """Positions in `entries` for this epoch."""
        if self._augment is None:
            return list(range(len(self.entries)))
        chosen = [
            position
            for patient, positions in self._of_patient.items()
            for position in self._drawn(patient, positions)
        ]
        shuffled: list[int] = self._random("order", self._epoch).permutation(chosen).tolist()
        return shuffled

    def _drawn(self, patient: str, positions: list[int]) -> list[int]:
        limit = self._slices_per_patient
        if limit is None or len(positions) <= limit:
            return positions
        random = self._random(f"patient/{patient}", self._epoch)
        drawn: list[int] = random.choice(positions, limit, replace=False).tolist()
        return drawn

    def _batch(self, positions: Sequence[int], epoch: int) -> SliceBatch:
        mine = positions[self._share(len(positions))]
        pictures = np.stack([self._picture(position, epoch) for position in mine])
        return SliceBatch(
            pictures=torch.from_numpy(pictures[:, None]),
            labels=torch.from_numpy(self.labels[list(positions)]),
            groups=[self.entries[position].patient_id for position in positions],
            lesions=None if self._lesions is None else self._known_of(positions, epoch),
        )

    def _picture(self, position: int, epoch: int) -> NDArray[np.uint8]:
        picture: NDArray[np.uint8] = self._pictures[self._array_rows[position]]
        if self._augment is None:
            return picture
        return augmented(picture, self._augment, self._change(position, epoch))

    def _known_of(self, positions: Sequence[int], epoch: int) -> Tensor:
        """What is known of lesions in some slices, moved as their pictures are."""
        maps = np.stack([self._lesion_map(position, epoch) for position in positions])
        return torch.from_numpy(lesion_shares(maps))

    def _lesion_map(self, position: int, epoch: int) -> NDArray[np.uint8]:
        entry = self.entries[position]
        known = (self._lesions or {}).get((entry.line, entry.slice_index), self._unknown)
        if self._augment is None or known.min() == known.max():  # one value everywhere stays so
            return known
        return moved_alike(known, self._augment, self._change(position, epoch))

    def _change(self, position: int, epoch: int) -> np.random.Generator:
        """What one slice's changes are drawn from in one epoch."""
        entry = self.entries[position]
        return self._random(f"slice/{entry.line}/{entry.slice_index}", epoch)

    def _random(self, purpose: str, epoch: int) -> np.random.Generator:
        """A generator of its own for each purpose, so that no draw depends on another."""
        digest = hashlib.sha256(f"{self._seed}/{epoch}/{purpose}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def lesion_shares(maps: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The share of lesion in each cell of maps (n, side, side), -1 where over half is unknown.

    >>> half = np.full((1, 8, 8), LESION, np.uint8); half[:, :4] = 0
    >>> lesion_shares(half)
    array([[[0.5]]], dtype=float32)
    """
    n, side, _ = maps.shape
    cells = maps.reshape(n, side // CELL_PX, CELL_PX, side // CELL_PX, CELL_PX)
    known = (cells != UNKNOWN).mean(axis=(2, 4))
    lesion = (cells == LESION).mean(axis=(2, 4))
    return np.where(known >= 0.5, lesion / np.maximum(known, 0.5), -1).astype(np.float32)


def _array_row_of(entry: SliceEntry) -> int:
    if entry.array_row is None:
        raise ValueError(f"the slice of line {entry.line} was {entry.status} and has no picture")
    return entry.array_row
