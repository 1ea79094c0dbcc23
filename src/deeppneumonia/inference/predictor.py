"""One network's opinion of each lung slice, with the details that it used, in source pixels."""

from collections.abc import Sequence

import numpy as np

from deeppneumonia.checkpoint import CheckpointMetadata
from deeppneumonia.domain import Box, Detail, Diagnosis, LungSlice, SlicePrediction
from deeppneumonia.inference.engines import EngineOutput, TorchEngine, check_numbers


class Predictor:
    """Asks an engine about lung slices and words its answer in the source's coordinates."""

    def __init__(self, engine: TorchEngine, metadata: CheckpointMetadata) -> None:
        self.engine = engine
        self.metadata = metadata

    def predict(
        self, lung_slices: Sequence[LungSlice]
    ) -> tuple[tuple[SlicePrediction, ...], EngineOutput]:
        """One prediction per slice, in the same order, and what the engine said, maps included.

        Args:
            lung_slices: of one study, one or more.

        Raises:
            CheckpointError: if the network answers with no numbers.
        """
        pictures = np.stack([one.picture for one in lung_slices])
        output = self.engine.run(pictures, keep_maps=True)
        check_numbers(output)
        predictions = tuple(
            self._prediction(lung_slice, output, position)
            for position, lung_slice in enumerate(lung_slices)
        )
        return predictions, output

    def _prediction(
        self, lung_slice: LungSlice, output: EngineOutput, position: int
    ) -> SlicePrediction:
        probabilities = output.probabilities[position].astype(np.float64)
        return SlicePrediction(
            slice_index=lung_slice.slice_index,
            probabilities=self.metadata.classes.named(list(probabilities / probabilities.sum())),
            details=self._used_details(lung_slice, output, position),
        )

    def _used_details(
        self, lung_slice: LungSlice, output: EngineOutput, position: int
    ) -> tuple[Detail, ...]:
        """The details that speak for the slice's disease above the stated level, strongest first.

        Where the network tells each detail's share of its answer, that is the detail's weight,
        and one that had less than an equal share is not drawn. A slice that looks healthy has no
        details: there is nothing to point at. Nor is a box drawn that holds no lung (it looked
        at the filled background).
        """
        predicted = int(output.probabilities[position].argmax())
        if self.metadata.classes.labels[predicted] == Diagnosis.HEALTHY:
            return ()
        says = output.detail_probabilities[position][:, predicted]  # (K,)
        is_used = says >= self.metadata.thresholds.detail
        weights = says
        if output.detail_weights is not None:
            weights = output.detail_weights[position]
            is_used &= weights >= 1 / (len(weights) + 1)  # the picture itself has a share
        found = [
            Detail(box, float(weights[number]))
            for number in np.flatnonzero(is_used)
            if (box := _visible(lung_slice, Box(*map(float, output.boxes[position][number]))))
            is not None
        ]
        return tuple(sorted(found, key=lambda detail: -detail.weight))


def _visible(lung_slice: LungSlice, box: Box) -> Box | None:
    """The box in source pixels, cut to the slice; None where it holds too little lung."""
    rows, columns = lung_slice.lung_mask.shape
    visible = lung_slice.frame.to_source(box).clipped(rows, columns)
    if visible is None:
        return None
    inside = lung_slice.lung_mask[
        int(visible.y0) : int(np.ceil(visible.y1)), int(visible.x0) : int(np.ceil(visible.x1))
    ]
    # A quarter: a square on a curved pleura may well hold more chest wall than lung.
    return visible if inside.mean() >= 0.25 else None
