"""From a config to a phantom: put the patient on the table, slice by slice."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import ArraySource, Diagnosis, Unit, Volume
from deeppneumonia.phantoms.bacterial import FLUID_HU, LobarPneumonia
from deeppneumonia.phantoms.chest import FAT_HU, cavity_depth, paint_bones, paint_wall
from deeppneumonia.phantoms.config import FIELD_MM, Phantom, PhantomConfig
from deeppneumonia.phantoms.covid import CovidPneumonia
from deeppneumonia.phantoms.lungs import LungPoints, lung_depth, paint_lung, sample_lung_points
from deeppneumonia.phantoms.organs import (
    BLOOD_HU,
    GAS_HU,
    HILA,
    paint_abdomen,
    paint_airways,
    paint_mediastinum,
)
from deeppneumonia.phantoms.patient import Patient
from deeppneumonia.phantoms.scanner import (
    AIR_HU,
    Scanner,
    enlarge,
    grid_mm,
    paint_table,
    reconstruct,
    smooth_noise,
)
from deeppneumonia.phantoms.shapes import Field, coverage, paint
from deeppneumonia.phantoms.trees import Tubes, draw_tubes, grow_tree

LEAVES = 420
"""End points of one arterial tree; a venous tree has the same."""


def make_phantom(config: PhantomConfig) -> Phantom:
    """The phantom that a config describes, always the same one.

    The anatomy depends on the seed alone, so two labels with one seed are one person, once with
    pneumonia and once without. Use different seeds for different patients.
    """
    scene = _Scene.of(config)
    noise = np.random.default_rng([config.seed, 5])
    slices = [scene.slice(index, noise) for index in range(config.shape[0])]
    hu, lung, lesion = (np.stack(parts) for parts in zip(*slices, strict=True))
    volume = Volume(pixels=ArraySource(hu), unit=Unit.HU, affine=_affine(config))
    return Phantom(volume=volume, lung_mask=lung, lesion_mask=lesion, config=config)


def _affine(config: PhantomConfig) -> NDArray[np.float64]:
    """Index to LPS: the middle of the field is the origin along x and y, z counts from the feet."""
    heights = grid_mm(config.shape)[0]
    between, down, along = config.spacing_mm
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, along], [0, down, 0], [between, 0, 0]]
    affine[:3, 3] = FIELD_MM[2] / -2 + along / 2, FIELD_MM[1] / -2 + down / 2, heights[0] - 400
    return affine


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trees:
    """Everything tubular in the lungs."""

    vessels: Tubes
    walls: Tubes
    lumens: Tubes

    @classmethod
    def grow(cls, patient: Patient, points: LungPoints, rng: np.random.Generator) -> "_Trees":
        arteries: list[Tubes] = []
        veins: list[Tubes] = []
        for side, hilum in zip((-1, 1), HILA, strict=True):
            mine = points.scanner[points.anatomy[:, 0] * side > 0]
            root = patient.to_scanner(hilum)
            for trees in (arteries, veins):
                leaves = mine[rng.choice(len(mine), min(LEAVES, len(mine)), replace=False)]
                trees.append(grow_tree(root + rng.normal(0, 3, 3), leaves, rng))
        artery = _joined(arteries)
        bronchi = artery.where(artery.radius > 0.75)  # smaller ones cannot be seen on CT
        lumens = bronchi.beside(0.72 * bronchi.radius, rng)
        walls = Tubes(lumens.start, lumens.end, lumens.radius * 1.15 + 0.45)
        return cls(vessels=_joined([*arteries, *veins]), walls=walls, lumens=lumens)


def _joined(trees: list[Tubes]) -> Tubes:
    return Tubes(
        np.concatenate([tree.start for tree in trees]),
        np.concatenate([tree.end for tree in trees]),
        np.concatenate([tree.radius for tree in trees]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """One patient on one scanner, with all that was drawn at random for them."""

    config: PhantomConfig
    patient: Patient
    scanner: Scanner
    trees: _Trees
    pneumonia: CovidPneumonia | LobarPneumonia | None
    mottle: NDArray[np.float32]
    ragged: NDArray[np.float32]
    fine: NDArray[np.float32]

    @classmethod
    def of(cls, config: PhantomConfig) -> "_Scene":
        patient = Patient.of_seed(config.seed)
        rng = np.random.default_rng([config.seed, 3])
        points = sample_lung_points(patient, rng, 9000, margin_mm=3)
        disease = np.random.default_rng([config.seed, 4])
        pneumonia: CovidPneumonia | LobarPneumonia | None = None
        if config.label is Diagnosis.COVID:
            pneumonia = CovidPneumonia.plan(points, disease)
        elif config.label is Diagnosis.BACTERIAL:
            pneumonia = LobarPneumonia.plan(points, disease)
        return cls(
            config=config,
            patient=patient,
            scanner=Scanner.of(config),
            trees=_Trees.grow(patient, points, rng),
            pneumonia=pneumonia,
            mottle=smooth_noise(rng, config, 22),
            ragged=smooth_noise(rng, config, 15),
            fine=smooth_noise(rng, config, 5),
        )

    def slice(
        self, index: int, noise: np.random.Generator
    ) -> tuple[NDArray[np.int16], NDArray[np.bool_], NDArray[np.bool_]]:
        """HU, lung mask and lesion mask of one slice."""
        shape = self.config.shape[1:]
        heights, field_x, field_y = grid_mm(self.config.shape)
        z = float(heights[index])
        soft = max(0.8, self.config.spacing_mm[1])
        x, y = self.patient.to_anatomy(field_x, field_y, z)
        hu = np.full(shape, AIR_HU, np.float32)
        mottle = enlarge(self.mottle[index], shape)
        table = 100 + self.patient.shift_mm[1] + 0.4 * self.patient.fat_mm + self.scanner.table_mm
        paint_table(hu, field_x, field_y, table, soft)
        body = paint_wall(hu, self.patient, x, y, z, mottle, soft)
        paint(hu, coverage(cavity_depth(x, y, z), soft), FAT_HU + 5)
        paint_abdomen(hu, self.patient, x, y, z, mottle, soft)
        paint_mediastinum(hu, self.patient, x, y, z, soft)
        paint_bones(hu, self.patient, x, y, z, soft)
        paint_airways(hu, x, y, z, soft)
        depth, amount = self._paint_lungs(hu, x, y, z, index)
        picture = reconstruct(hu, body, self.scanner, self.config.spacing_mm[1], noise)
        return picture, depth > 0, (depth > 0) & (amount >= 0.5)

    def _paint_lungs(
        self, hu: Field, x: Field, y: Field, z: float, index: int
    ) -> tuple[Field, Field]:
        shape = self.config.shape[1:]
        ragged, fine = enlarge(self.ragged[index], shape), enlarge(self.fine[index], shape)
        whole = lung_depth(self.patient, x, y, z)
        depth, amount = whole, np.zeros_like(whole)
        if whole.max() <= 0:
            return depth, amount
        if isinstance(self.pneumonia, LobarPneumonia):
            depth = self.pneumonia.without_fluid(whole, x, y, z)
            paint(hu, coverage(whole, 1.2), FLUID_HU)
        tissue = np.full_like(hu, AIR_HU)
        paint_lung(tissue, self.patient, y, z, np.maximum(depth, 1.2), 0.6 * fine + 0.4 * ragged)
        if self.pneumonia is not None:
            amount = self.pneumonia.paint(tissue, x, y, z, ragged, fine)
        self._paint_trees(tissue, z)
        paint(hu, coverage(depth, 1.2), tissue)
        return depth, amount

    def _paint_trees(self, tissue: Field, z: float) -> None:
        shape, thickness = self.config.shape[1:], self.config.thickness_mm
        walls, lumens, vessels = (
            draw_tubes(tubes, z, thickness, shape, FIELD_MM[1])
            for tubes in (self.trees.walls, self.trees.lumens, self.trees.vessels)
        )
        paint(tissue, 0.55 * walls * (tissue < -100), -150.0)
        paint(tissue, lumens, GAS_HU + 15)
        paint(tissue, vessels, BLOOD_HU)
