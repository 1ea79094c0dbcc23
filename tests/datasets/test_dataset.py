"""Batches: complete in evaluation, the same for the same seed and epoch in training."""

from collections import Counter

import numpy as np
import pytest
import torch

from deeppneumonia.datasets import AugmentConfig, SliceCache, SliceEntry, SliceLoader, SliceStatus
from deeppneumonia.domain import ClassSet

CLASSES = ClassSet(("covid", "bacterial"))
SIDE = 16


def cache_of(slices_per_patient: dict[str, int]) -> SliceCache:
    """A cache whose picture number n is grey level n everywhere but for a bright corner."""
    patients = [name for name, count in slices_per_patient.items() for _ in range(count)]
    pictures = np.empty((len(patients), SIDE, SIDE), np.uint8)
    pictures[:] = np.arange(len(patients))[:, None, None]
    pictures[:, :4, :4] = 250
    index = tuple(
        SliceEntry(
            line=row + 2,
            patient_id=patient,
            label="covid" if patient < "m" else "bacterial",
            site="",
            split="train",
            slice_index=0,
            array_row=row,
            status=SliceStatus.KEPT,
            reason="",
        )
        for row, patient in enumerate(patients)
    )
    return SliceCache(pictures, index)


def training_loader(cache: SliceCache, seed: int = 0, limit: int | None = None) -> SliceLoader:
    return SliceLoader(
        cache,
        cache.kept,
        CLASSES,
        batch_size=4,
        seed=seed,
        augment=AugmentConfig(),
        input_px=SIDE,
        slices_per_patient=limit,
    )


def seen(loader: SliceLoader, epoch: int) -> list[tuple[torch.Tensor, list[str]]]:
    loader.set_epoch(epoch)
    return [(batch.pictures, batch.groups) for batch in loader]


def same(
    one: list[tuple[torch.Tensor, list[str]]], other: list[tuple[torch.Tensor, list[str]]]
) -> bool:
    return all(torch.equal(a, b) and g == h for (a, g), (b, h) in zip(one, other, strict=True))


def test_evaluation_sees_every_slice_in_order_and_unchanged() -> None:
    cache = cache_of({"ann": 3, "zoe": 4})
    loader = SliceLoader(
        cache, cache.kept, CLASSES, batch_size=3, seed=0, augment=None, input_px=SIDE
    )
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    assert [tuple(batch.pictures.shape) for batch in batches] == [(3, 1, 16, 16)] * 2 + [
        (1, 1, 16, 16)
    ]
    assert batches[0].pictures.dtype == torch.uint8
    pictures = torch.cat([batch.pictures for batch in batches])[:, 0].numpy()
    np.testing.assert_array_equal(pictures, cache.pictures)
    labels = torch.cat([batch.labels for batch in batches])
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert [name for batch in batches for name in batch.groups] == ["ann"] * 3 + ["zoe"] * 4


@pytest.mark.parametrize(
    ("slices", "sizes"), [(1, [1]), (4, [4]), (5, [5]), (6, [4, 2]), (9, [4, 5])]
)
def test_no_training_batch_ends_an_epoch_with_a_lone_slice(slices: int, sizes: list[int]) -> None:
    loader = training_loader(cache_of({"ann": slices}))
    assert [len(batch.pictures) for batch in loader] == sizes
    assert len(loader) == len(sizes)


def test_the_same_epoch_is_the_same_after_a_restart() -> None:
    cache = cache_of({"ann": 9, "zoe": 5})
    unbroken = training_loader(cache)
    first, second = seen(unbroken, 0), seen(unbroken, 1)
    assert same(second, seen(training_loader(cache), 1))
    assert not same(first, second)
    assert not same(first, seen(training_loader(cache, seed=1), 0))


def test_a_patient_with_many_slices_does_not_drown_one_with_few() -> None:
    loader = training_loader(cache_of({"ann": 86, "zoe": 1}), limit=6)
    counts = Counter(name for _, groups in seen(loader, 0) for name in groups)
    assert counts == {"ann": 6, "zoe": 1}
    assert len(loader) == 2


def test_other_slices_of_a_patient_come_up_in_other_epochs() -> None:
    cache = cache_of({"ann": 40})
    loader = SliceLoader(
        cache,
        cache.kept,
        CLASSES,
        batch_size=50,
        seed=0,
        augment=AugmentConfig(brightness=0, contrast=0, gamma=0),
        input_px=SIDE,
        slices_per_patient=5,
    )
    drawn = [set(seen(loader, epoch)[0][0][:, 0, 8, 8].tolist()) for epoch in range(3)]
    assert all(len(levels) == 5 for levels in drawn)
    assert drawn[0] != drawn[1] != drawn[2]


def test_a_loop_that_is_left_early_leaves_nothing_behind() -> None:
    loader = training_loader(cache_of({"ann": 60}))
    first = next(iter(loader))
    assert same([(first.pictures, first.groups)], seen(loader, 0)[:1])


def test_a_cache_of_another_size_is_named() -> None:
    cache = cache_of({"ann": 1})
    with pytest.raises(ValueError, match="takes 448 px and the cache holds 16 px"):
        SliceLoader(cache, cache.kept, CLASSES, batch_size=1, seed=0, augment=None, input_px=448)


def test_a_label_that_the_classes_do_not_know_is_named() -> None:
    cache = cache_of({"ann": 1})
    with pytest.raises(ValueError, match="unknown label 'covid'"):
        SliceLoader(
            cache,
            cache.kept,
            ClassSet(("bacterial", "healthy")),
            batch_size=1,
            seed=0,
            augment=None,
            input_px=SIDE,
        )
