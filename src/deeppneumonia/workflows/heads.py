"""After training: every linear head of a network fitted to its optimum on the training slices."""

from collections.abc import Sequence

import torch

from deeppneumonia.datasets import Manifest, SliceCache, SliceLoader
from deeppneumonia.datasets.cache import SliceEntry
from deeppneumonia.errors import ManifestError
from deeppneumonia.models import Network
from deeppneumonia.training import Precision, TrainConfig, fit_linear_heads
from deeppneumonia.training.loop import Answers, forward
from deeppneumonia.workflows.recipes import Recipe


def check_heads(recipe: Recipe, manifest: Manifest) -> None:
    """ManifestError where `heads_without` leaves no row of a class to fit the heads to."""
    left_out = recipe.data.heads_without
    fitted = {row.label for row in manifest.rows_of("train") if row.site not in left_out}
    missing = sorted(set(recipe.classes.labels) - fitted)
    if recipe.fit_heads and left_out and missing:
        raise ManifestError(
            f"The heads are fitted without the site {', '.join(left_out)}, and no other training "
            f"row is {missing[0]}: leave a site out of heads_without, or set fit_heads = false."
        )


def fit_heads(network: Network, recipe: Recipe, cache: SliceCache) -> float:
    """Fit every linear head to its optimum, on every real training slice once, as it is.

    Returns:
        The validation patient AUC with these heads, measured as after each epoch of training.
    """
    left_out = recipe.data.heads_without
    learned_from = [entry for entry in cache.entries_of("train") if entry.site not in left_out]
    fit_linear_heads(
        network,
        _in_order(recipe, cache, learned_from),
        num_classes=len(recipe.classes),
        site_of={entry.patient_id: entry.site for entry in cache.index},
        bf16=recipe.training.amp is Precision.BF16,
    )
    return _auc(network, _in_order(recipe, cache, cache.entries_of("validation")), recipe.training)


def _in_order(recipe: Recipe, cache: SliceCache, entries: Sequence[SliceEntry]) -> SliceLoader:
    """Each slice once, as it is."""
    return SliceLoader(
        cache,
        entries,
        recipe.classes,
        batch_size=recipe.training.batch_size,
        seed=recipe.training.seed,
        augment=None,
        input_px=recipe.preprocessing.picture_px,
    )


@torch.inference_mode()
def _auc(network: Network, loader: SliceLoader, config: TrainConfig) -> float:
    answers = Answers()
    device = next(network.parameters()).device
    for batch in loader:
        answers.add(batch, forward(network, batch.pictures.to(device), config).logits)
    return answers.auc()
