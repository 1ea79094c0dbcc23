"""One study in, one diagnosis out: `Diagnoser.load().diagnose(path)`."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from deeppneumonia.checkpoint import Checkpoint
from deeppneumonia.domain import (
    KeySlice,
    ModelIdentity,
    PatientDiagnosis,
    QualityFlag,
    Status,
    Volume,
)
from deeppneumonia.errors import InputRefusedError
from deeppneumonia.inference import (
    Distance,
    Predictor,
    TorchEngine,
    calibrate,
    distance_flags,
    judge,
    key_slices,
    mean_probabilities,
    statistics_of,
)
from deeppneumonia.preprocessing import Examination, InputReport, check_input, examine, text_flags
from deeppneumonia.readers import prepare_to_read, read_volume
from deeppneumonia.workflows.engines import open_engine
from deeppneumonia.workflows.key_slices import show_key_slices
from deeppneumonia.workflows.refusal import refused_files
from deeppneumonia.workflows.releases import open_checkpoint

logger = logging.getLogger(__name__)

MIN_SLICES = 3
"""Fewer slices than this are no study: nobody can tell what lies between them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A diagnosis together with what a report needs to show it."""

    diagnosis: PatientDiagnosis
    key_slices: tuple[KeySlice, ...] = ()
    volume: Volume | None = None
    """The study that was read; None when it could not be. Holds unpacked files alive."""

    about: tuple[Path, ...] = ()
    """DICOM files that a refusal without a volume is about, so that it can refer to them."""


@dataclass(slots=True)
class _Clock:
    """Seconds spent in each part of the work."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(perf_counter() - start, 3)

    def timing(self) -> dict[str, float]:
        return {**self.seconds, "total": round(sum(self.seconds.values()), 3)}


class Diagnoser:
    """A checkpoint that reads studies; load it once, ask it often."""

    def __init__(
        self, checkpoint: Checkpoint, *, device: str = "auto", engine: TorchEngine | None = None
    ) -> None:
        """With an engine that was made for this checkpoint, or with torch on a device."""
        self.checkpoint = checkpoint
        checkpoint.network.requires_grad_(False)  # else heat maps would follow every weight
        self.metadata = checkpoint.metadata
        self.identity = ModelIdentity(checkpoint.metadata.model, checkpoint.sha256)
        self._engine = engine or TorchEngine(checkpoint, device=device)
        self._predictor = Predictor(self._engine, checkpoint.metadata)
        self._statistics = statistics_of(checkpoint.metadata)

    @classmethod
    def load(
        cls, name_or_path: str | Path | None = None, *, device: str = "auto", engine: str = "auto"
    ) -> "Diagnoser":
        """The released default, another released name, or the path of a checkpoint.

        Args:
            name_or_path: the default when None.
            device: auto, cpu, cuda or cuda:N.
            engine: auto, torch or openvino; see `open_engine`. The answer says which it was.

        Raises:
            CheckpointError: if there is no such checkpoint, or it is damaged.
            ConfigError: if the device or the engine does not exist.
        """
        prepare_to_read()  # starts while the checkpoint is being loaded
        checkpoint = open_checkpoint(name_or_path)
        return cls(checkpoint, engine=open_engine(name_or_path, checkpoint, device, engine))

    def diagnose(self, path: str | Path, *, series: str | None = None) -> PatientDiagnosis:
        """The answer to one study; a study that cannot be used gives status `refused`."""
        return self.read(path, series=series).diagnosis

    def read(self, path: str | Path, *, series: str | None = None) -> Reading:
        """The answer to one study, with its key slices as pictures and heat maps.

        Args:
            path: DICOM folder, file or zip; NIfTI, MHA or NRRD file; folder of PNG/JPEG slices.
            series: Series Instance UID to use instead of the one chosen by rule.
        """
        clock = _Clock()
        try:
            with clock.part("read"):
                volume = read_volume(Path(path), series)
        except InputRefusedError as error:
            refusal = self._refusal((str(error),), (), {}, clock)
            return Reading(refusal, about=refused_files(Path(path), series))
        return self._read_volume(volume, clock)

    def _read_volume(self, volume: Volume, clock: _Clock) -> Reading:
        try:
            with clock.part("lungs"):
                found = examine(volume, self.metadata.preprocessing)
                checks = check_input(volume, found)
                text = text_flags(volume.unit, found)
        except InputRefusedError as error:  # a slice that cannot be decoded shows only now
            return Reading(self._refusal((str(error),), volume.flags, {}, clock), (), volume)
        flags = (*volume.flags, *found.flags, *checks.flags, *text)
        quality = _quality(volume, found)
        quality["engine"] = self._engine.name
        quality["trust"] = _trust(checks, None)
        reasons = _unusable(volume, flags)
        if reasons:
            return Reading(self._refusal(reasons, flags, quality, clock), (), volume)
        with clock.part("network"):
            slices, output = self._predictor.predict(found.kept)
        distance = None if self._statistics is None else self._statistics.distance(output.features)
        flags = (*flags, *distance_flags(distance))
        quality["trust"] = _trust(checks, distance)
        probabilities = calibrate(mean_probabilities(slices), self.metadata.temperature)
        judgement = judge(probabilities, flags, self.metadata.thresholds)
        leading = max(probabilities, key=lambda label: probabilities[label])
        keys = key_slices(slices, leading)
        with clock.part("explanation"):
            network = self.checkpoint.network
            shown = show_key_slices(network, found.kept, slices, output, keys, leading)
        diagnosis = PatientDiagnosis(
            status=judgement.status,
            reasons=judgement.reasons,
            probabilities=probabilities,
            diagnosis=leading if judgement.status is Status.DIAGNOSED else None,
            slices=slices,
            key_slices=keys,
            flags=flags,
            quality=quality,
            model=self.identity,
            timing_s=clock.timing(),
        )
        logger.info("%s in %.1f s", diagnosis.status, diagnosis.timing_s["total"])
        return Reading(diagnosis, shown, volume)

    def _refusal(
        self,
        reasons: tuple[str, ...],
        flags: tuple[QualityFlag, ...],
        quality: dict[str, object],
        clock: _Clock,
    ) -> PatientDiagnosis:
        return PatientDiagnosis(
            status=Status.REFUSED,
            reasons=reasons,
            probabilities={},
            diagnosis=None,
            slices=(),
            key_slices=(),
            flags=flags,
            quality=quality,
            model=self.identity,
            timing_s=clock.timing(),
        )


def _unusable(volume: Volume, flags: Sequence[QualityFlag]) -> tuple[str, ...]:
    """Why this volume must not get an answer; empty when it may."""
    if len(volume) < MIN_SLICES:
        noun = "one slice" if len(volume) == 1 else f"{len(volume)} slices"
        return (
            f"The study has {noun}, a diagnosis needs {MIN_SLICES} or more of one series: "
            f"send the whole series.",
        )
    return tuple(flag.message for flag in flags if flag.blocks)


def _trust(checks: InputReport, distance: Distance | None) -> dict[str, object]:
    """What was checked of the input, and how far it lies from the training patients."""
    return {
        "checked": list(checks.checked),
        "distance": None if distance is None else round(distance.value, 3),
        "limit": None if distance is None else round(distance.limit, 3),
    }


def _quality(volume: Volume, found: Examination) -> dict[str, object]:
    """The facts about a study that go into its record; nothing in them names a person."""
    quality = dict(found.facts)
    del quality["slices_dropped"]  # `dropped` below says the same in a form with names
    if volume.study is not None:
        quality["format"] = str(volume.study.kind)
        quality["study_uid"] = volume.study.uid
    if volume.series is not None:
        quality["series_uid"] = volume.series.uid
        quality["series_description"] = volume.series.description
        quality["series_chosen_because"] = volume.series.chosen_because
    if volume.has_geometry:
        quality["spacing_mm"] = [round(length, 4) for length in volume.spacing_mm]
    quality["dropped"] = [
        {"index": dropped.slice_index, "reason": dropped.reason} for dropped in found.dropped
    ]
    return quality
