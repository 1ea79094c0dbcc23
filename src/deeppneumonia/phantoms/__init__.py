"""Physically plausible chest CT of made-up patients whose lungs and lesions are known exactly.

A phantom is good for tests, demonstrations and checks of software. It is never evidence of
clinical accuracy, because:

- It is drawn, not scanned: no x-ray physics, so no beam hardening, scatter, metal or motion.
- One body plan: adult, supine, unenhanced; sex, age, scars, devices and malformations are missing.
- Lungs have no disease but the one asked for: no emphysema, nodule, fibrosis or oedema.
- The two pneumonias are textbook patterns; real ones overlap, and no atypical case occurs here.
- Vessels and airways branch at random, without the named segments of a real lung.
- Noise is the same all over the body but for its edge, and slices do not share it.

The seed decides everything about the person and the scanner; see `make_phantom`.
"""

from deeppneumonia.phantoms.cohort import Form, write_cohort
from deeppneumonia.phantoms.config import DEFAULT_SHAPE, Phantom, PhantomConfig
from deeppneumonia.phantoms.painted import paint_lesions
from deeppneumonia.phantoms.synthesis import make_phantom
from deeppneumonia.phantoms.writers import (
    patient_id,
    write_dicom,
    write_lesion_mask,
    write_nifti,
    write_picture,
    write_png,
)

__all__ = [
    "DEFAULT_SHAPE",
    "Form",
    "Phantom",
    "PhantomConfig",
    "make_phantom",
    "paint_lesions",
    "patient_id",
    "write_cohort",
    "write_dicom",
    "write_lesion_mask",
    "write_nifti",
    "write_picture",
    "write_png",
]
