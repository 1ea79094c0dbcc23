"""After training: every linear head of a network fitted to its optimum on the training slices."""

from deeppneumonia.datasets import Manifest, SliceCache, SliceLoader
from deeppneumonia.errors import ManifestError
from deeppneumonia.models import Network
from deeppneumonia.training import Precision, fit_linear_heads
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


def fit_heads(network: Network, recipe: Recipe, cache: SliceCache) -> None:
    """Fit every linear head to its optimum, on every real training slice once, as it is."""
    left_out = recipe.data.heads_without
    in_order = SliceLoader(
        cache,
        [entry for entry in cache.entries_of("train") if entry.site not in left_out],
        recipe.classes,
        batch_size=recipe.training.batch_size,
        seed=recipe.training.seed,
        augment=None,
        input_px=recipe.preprocessing.picture_px,
    )
    fit_linear_heads(
        network,
        in_order,
        num_classes=len(recipe.classes),
        site_of={entry.patient_id: entry.site for entry in cache.index},
        bf16=recipe.training.amp is Precision.BF16,
    )
