"""From a config to a phantom: put the patient on the table, slice by slice."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import ArraySource, Diagnosis, Unit, Volume
from deeppneumonia.phantoms.bacterial import FLUID_HU, LobarPneumonia
from deeppneumonia.phantoms.bones import paint_bones
from deeppneumonia.phantoms.chest import FAT_HU, body_depth, cavity_depth, paint_wall
from deeppneumonia.phantoms.config import FIELD_MM, Phantom, PhantomConfig
from deeppneumonia.phantoms.covid import CovidPneumonia
from deeppneumonia.phantoms.lungs import aerated_lung, lung_depth, sample_lung_points
from deeppneumonia.phantoms.organs import BLOOD_HU, GAS_HU, paint_abdomen, paint_mediastinum
from deeppneumonia.phantoms.patient import Patient
from deeppneumonia.phantoms.plane import Place, Plane
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
from deeppneumonia.phantoms.trees import LungTrees, draw_tubes

EDGE_MM = 1.2
"""How wide the edge of the lung is drawn; breathing blurs it more than other edges."""

WALL_HU = -150.0
"""A bronchial wall, thinner than a voxel, with the air on both sides of it."""


def make_phantom(config: PhantomConfig) -> Phantom:
    """The phantom that a config describes, always the same one.

    The anatomy depends on the seed alone, so two labels with one seed are one person, once with
    pneumonia and once without. Use different seeds for different patients.
    """
    scene = _Scene.of(config)
    noise = np.random.default_rng([config.seed, 5])
    slices = [scene.scan(index, noise) for index in range(config.shape[0])]
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
class _Scene:
    """One patient on one scanner, with all that was drawn at random for them."""

    config: PhantomConfig
    patient: Patient
    scanner: Scanner
    trees: LungTrees
    pneumonia: CovidPneumonia | LobarPneumonia | None
    mottle: NDArray[np.float32]
    ragged: NDArray[np.float32]
    fine: NDArray[np.float32]

    @classmethod
    def of(cls, config: PhantomConfig) -> "_Scene":
        patient = Patient.of_seed(config.seed)
        rng = np.random.default_rng([config.seed, 3])
        points = sample_lung_points(patient, rng, 24_000, margin_mm=3)
        trees = LungTrees.grow(patient, points, rng)
        disease = np.random.default_rng([config.seed, 4])
        pneumonia: CovidPneumonia | LobarPneumonia | None = None
        if config.label is Diagnosis.COVID:
            pneumonia = CovidPneumonia.plan(points, disease)
        elif config.label is Diagnosis.BACTERIAL:
            pneumonia = LobarPneumonia.plan(points, disease)
            filled = pneumonia.points_within(points)
            trees = trees.with_air_bronchograms(patient, filled, disease)
        return cls(
            config=config,
            patient=patient,
            scanner=Scanner.of(config),
            trees=trees,
            pneumonia=pneumonia,
            mottle=smooth_noise(rng, config, 22),
            ragged=smooth_noise(rng, config, 15),
            fine=smooth_noise(rng, config, 5),
        )

    def scan(
        self, index: int, noise: np.random.Generator
    ) -> tuple[NDArray[np.int16], NDArray[np.bool_], NDArray[np.bool_]]:
        """HU, lung mask and lesion mask of one slice."""
        plane, hu = self._plane(index), self._table()
        body = body_depth(self.patient, plane.x, plane.y, plane.z)
        paint_wall(hu, self.patient, plane, body)
        paint(hu, coverage(plane.cavity, plane.soft_mm), FAT_HU + 5)
        paint_abdomen(hu, self.patient, plane)
        paint_mediastinum(hu, self.patient, plane, contrast_hu=self.config.contrast_hu)
        paint_bones(hu, self.patient, plane)
        lung, lesion = self._paint_lungs(hu, plane, index)
        pixel_mm = self.config.spacing_mm[1]
        return reconstruct(hu, body, self.scanner, pixel_mm, noise), lung, lesion

    def _plane(self, index: int) -> Plane:
        heights, field_x, field_y = grid_mm(self.config.shape)
        z = float(heights[index])
        x, y = self.patient.to_anatomy(field_x, field_y, z)
        return Plane(
            x=x,
            y=y,
            z=z,
            cavity=cavity_depth(x, y, z),
            mottle=enlarge(self.mottle[index], self.config.shape[1:]),
            soft_mm=max(0.8, self.config.spacing_mm[1]),
        )

    def _table(self) -> Field:
        """Air and the table below the patient."""
        _, x, y = grid_mm(self.config.shape)
        hu = np.full(self.config.shape[1:], AIR_HU, np.float32)
        back = 100 + self.patient.shift_mm[1] + 0.4 * self.patient.fat_mm
        paint_table(hu, x, y, back + self.scanner.table_mm, self.config.spacing_mm[1])
        return hu

    def _paint_lungs(
        self, hu: Field, plane: Plane, index: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Paint the lungs of one slice; returns lung mask and lesion mask."""
        lung, lesion = np.zeros(hu.shape, bool), np.zeros(hu.shape, bool)
        chest, place = plane.part(plane.cavity)
        if not chest.x.size:
            return lung, lesion
        depth = lung_depth(self.patient, chest.x, chest.y, chest.z)
        if isinstance(self.pneumonia, LobarPneumonia):
            paint(hu[place], coverage(depth, EDGE_MM), FLUID_HU)
            depth = self.pneumonia.without_fluid(depth, chest)
        ragged, fine = (
            enlarge(noise[index], hu.shape)[place] for noise in (self.ragged, self.fine)
        )
        tissue = aerated_lung(self.patient, chest, depth, 0.7 * fine + 0.3 * ragged)
        lung[place] = depth > 0
        if self.pneumonia is not None:
            amount = self.pneumonia.paint(tissue, chest, ragged, fine)
            lesion[place] = (depth > 0) & (amount >= 0.5)
        self._paint_trees(tissue, plane.z, place)
        paint(hu[place], coverage(depth, EDGE_MM), tissue)
        return lung, lesion

    def _paint_trees(self, tissue: Field, z: float, place: Place) -> None:
        shape, thickness = self.config.shape[1:], self.config.thickness_mm
        walls, lumens, vessels = (
            draw_tubes(tubes, z, thickness, shape, FIELD_MM[1])[place]
            for tubes in (self.trees.walls, self.trees.lumens, self.trees.vessels)
        )
        paint(tissue, walls * (tissue < WALL_HU), WALL_HU)
        paint(tissue, vessels * (1 - lumens), BLOOD_HU + self.config.contrast_hu)
        paint(tissue, lumens, GAS_HU + 15)
