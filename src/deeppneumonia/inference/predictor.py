"""One network's opinion of each lung slice, with the details that it used, in source pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.checkpoint import CheckpointMetadata
from deeppneumonia.domain import Box, Detail, Diagnosis, LungSlice, SlicePrediction
from deeppneumonia.inference.engines import Engine, EngineOutput


class Predictor:
    """Asks an engine about lung slices and words its answer in the source's coordinates."""

    def __init__(self, engine: Engine, metadata: CheckpointMetadata) -> None:
        self.engine = engine
        self.metadata = metadata

    def predict(self, lung_slices: Sequence[LungSlice]) -> tuple[SlicePrediction, ...]:
        """One prediction per slice, in the same order."""
        return self.predict_with_features(lung_slices)[0]

    def predict_with_features(
        self, lung_slices: Sequence[LungSlice]
    ) -> tuple[tuple[SlicePrediction, ...], NDArray[np.float32]]:
        """One prediction per slice, and the features (n, D) that the network saw in them."""
        if not lung_slices:
            return (), np.zeros((0, 0), np.float32)
        output = self.engine.run(np.stack([one.picture for one in lung_slices]))
        predictions = tuple(
            self._prediction(lung_slice, output, position)
            for position, lung_slice in enumerate(lung_slices)
        )
        return predictions, output.features

    def _prediction(
        self, lung_slice: LungSlice, output: EngineOutput, position: int
    ) -> SlicePrediction:
        probabilities = output.probabilities[position].astype(np.float64)
        return SlicePrediction(
            slice_index=lung_slice.slice_index,
            probabilities=self.metadata.classes.named(list(probabilities / probabilities.sum())),
            details=self._used_details(
                lung_slice,
                int(probabilities.argmax()),
                output.boxes[position],
                output.detail_probabilities[position],
            ),
        )

    def _used_details(
        self,
        lung_slice: LungSlice,
        predicted: int,
        boxes: NDArray[np.float32],
        detail_probabilities: NDArray[np.float32],
    ) -> tuple[Detail, ...]:
        """The details that speak for the slice's disease above the stated level, strongest first.

        A slice that looks healthy has none: there is nothing to point at. Nor is a box drawn
        that holds no lung (it looked at the filled background).
        """
        if self.metadata.classes.labels[predicted] == Diagnosis.HEALTHY:
            return ()
        found = [
            Detail(box, float(weight))
            for corners, weight in zip(boxes, detail_probabilities[:, predicted], strict=True)
            if weight >= self.metadata.thresholds.detail
            and (box := _visible(lung_slice, Box(*map(float, corners)))) is not None
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
