"""What a page needs to show a study that was read: its words, its slices, its heat and boxes.

`write_viewer` is called where the study was read. The rest is for a process that serves pages: it
opens only what `write_viewer` wrote, and neither a study nor torch.

`volume.nii.gz` is one ordinary gzip stream, flushed before every slice (RFC 1951, 3.2.4: an empty
stored block on a byte boundary), so that a viewer can load the whole and a page one slice.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppneumonia.domain import KeySlice, PatientDiagnosis, Unit, Volume
from deeppneumonia.errors import InputRefusedError
from deeppneumonia.files import write_whole
from deeppneumonia.preprocessing.windowing import apply_window
from deeppneumonia.reports.composition import compose
from deeppneumonia.reports.document import ReportContext, ReportDocument
from deeppneumonia.reports.figures import heat_colours

PAGE, VOLUME, HEAT, BOXES = "page.json", "volume.nii.gz", "heat.nii.gz", "boxes.nii.gz"
NIFTI_TYPES = {"int16": (4, 16), "uint8": (2, 8)}
LEVEL = 1
"""Of compression: slices are noise, and a higher one costs seconds for a few per cent."""

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TO_SLICE_ROW_COLUMN = np.eye(4)[[2, 1, 0, 3]]
"""NIfTI counts (column, row, slice)."""


def write_viewer(
    diagnosis: PatientDiagnosis,
    key_slices: Sequence[KeySlice],
    folder: Path,
    context: ReportContext,
) -> None:
    """Write `page.json` and, where slices can be shown, the volume, its heat and its boxes.

    Args:
        diagnosis: the answer to the study.
        key_slices: one for each of `diagnosis.key_slices`, in that order; none on a refusal.
        folder: of the answer's other files.
        context: the one with which the report was written.
    """
    document = compose(diagnosis, key_slices, context)
    page: dict[str, Any] = {"document": asdict(document), "picture": None}
    volume = context.volume
    if volume is not None:
        try:
            offsets = _write_volume(volume, folder / VOLUME)
        except InputRefusedError:  # some slice cannot be decoded: there is nothing to scroll
            (folder / VOLUME).unlink(missing_ok=True)
        else:
            page["picture"] = _picture(volume, document, offsets)
            page["boxes"] = _boxes(diagnosis) if diagnosis.probabilities else {}
            page["heat"] = _write_heat(key_slices, volume, folder)
            _write_boxes(page["boxes"], volume, folder)
    write_whole(folder / PAGE, json.dumps(page, ensure_ascii=False, allow_nan=False))


def slice_png(
    volume_file: Path, picture: dict[str, Any], index: int, *, center_hu: float, width_hu: float
) -> bytes:
    """One slice as a grey PNG, one pixel for each of the source.

    Args:
        volume_file: as `write_viewer` wrote it.
        picture: that entry of `page.json`.
        index: 0 at the feet.
        center_hu: middle of the window; grey levels of pictures are shown as they are.
        width_hu: full width of the window, more than 1.

    Raises:
        IndexError: there is no such slice.
    """
    if not 0 <= index < picture["slices"]:
        raise IndexError(f"slice {index} does not exist: the volume has {picture['slices']}")
    start, end = picture["offsets"][index : index + 2]
    with volume_file.open("rb") as file:
        file.seek(start)
        packed = file.read(end - start)
    shape = picture["rows"], picture["columns"]
    is_hu = picture["unit"] == Unit.HU
    size = shape[0] * shape[1] * (2 if is_hu else 1)
    pixels = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size)
    if not is_hu:
        return _png(np.frombuffer(pixels, np.uint8).reshape(shape))
    hu = np.frombuffer(pixels, np.int16).reshape(shape)
    grey = apply_window(hu.astype(np.float32), center_hu=center_hu, width_hu=width_hu)
    return _png(grey)


def _picture(volume: Volume, document: ReportDocument, offsets: list[int]) -> dict[str, Any]:
    slices, rows, columns = volume.shape
    between, row_mm, column_mm = volume.spacing_mm if volume.has_geometry else (1.0, 1.0, 1.0)
    sides = document.geometry
    return {
        "slices": slices,
        "rows": rows,
        "columns": columns,
        "slice_mm": between,
        "row_mm": row_mm,
        "column_mm": column_mm,
        "unit": str(volume.unit),
        "sides": None if sides is None else [sides.left, sides.right, sides.top, sides.bottom],
        "offsets": offsets,
    }


def _boxes(diagnosis: PatientDiagnosis) -> dict[str, list[list[float]]]:
    """By slice: x0, y0, x1, y1 in source pixels, and the weight."""
    return {
        str(one.slice_index): [
            [detail.box.x0, detail.box.y0, detail.box.x1, detail.box.y1, detail.weight]
            for detail in one.details
        ]
        for one in diagnosis.slices
        if one.details
    }


def _write_volume(volume: Volume, file: Path) -> list[int]:
    kind = "int16" if volume.unit is Unit.HU else "uint8"
    return _write_nifti(file, volume, kind, map(volume.slice, range(len(volume))))


def _write_heat(keys: Iterable[KeySlice], volume: Volume, folder: Path) -> dict[str, str]:
    """The heat as one volume, and for each key slice as a picture; returns the pictures' names."""
    heats = {
        one.saliency.slice_index: one.saliency.heat
        for one in keys
        if one.saliency is not None and one.saliency.heat.any()
    }
    if not heats:
        return {}
    names = {}
    for number, (index, heat) in enumerate(heats.items(), start=1):
        names[str(index)] = f"heat_{number}.png"
        alpha = np.round(255 * heat.clip(0, 1)).astype(np.uint8)
        colours = heat_colours(heat)[:, :, ::-1]
        write_whole(folder / names[str(index)], _png(np.dstack([colours, alpha])))
    nothing = np.zeros(volume.shape[1:], np.float32)
    layers = (np.round(255 * heats.get(index, nothing)) for index in range(len(volume)))
    _write_nifti(folder / HEAT, volume, "uint8", layers)
    return names


def _write_boxes(boxes: dict[str, list[list[float]]], volume: Volume, folder: Path) -> None:
    if not boxes:
        return
    _write_nifti(folder / BOXES, volume, "uint8", _outlines(boxes, volume))


def _outlines(boxes: dict[str, list[list[float]]], volume: Volume) -> Iterator[NDArray[np.uint8]]:
    for index in range(len(volume)):
        drawn = np.zeros(volume.shape[1:], np.uint8)
        for x0, y0, x1, y1, _ in boxes.get(str(index), ()):
            corner, opposite = (round(x0), round(y0)), (round(x1) - 1, round(y1) - 1)
            cv2.rectangle(drawn, corner, opposite, 255, 1 + max(volume.shape[1:]) // 400)
        yield drawn


def _write_nifti(
    file: Path, volume: Volume, kind: str, layers: Iterable[NDArray[Any]]
) -> list[int]:
    """NIfTI-1, gzipped; returns where each slice begins, and where the last one ends."""
    limits = np.iinfo(kind)
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)  # 16: with a gzip header
    offsets = []
    with file.open("wb") as target:
        target.write(packer.compress(_header(volume, kind)) + packer.flush(zlib.Z_FULL_FLUSH))
        for layer in layers:
            offsets.append(target.tell())
            values = (
                np.rint(layer).clip(limits.min, limits.max).astype(f"<{np.dtype(kind).str[1:]}")
            )
            target.write(packer.compress(values.tobytes()) + packer.flush(zlib.Z_FULL_FLUSH))
        offsets.append(target.tell())
        target.write(packer.flush())
    return offsets


def _header(volume: Volume, kind: str) -> bytes:
    """348 bytes and 4 that say there are no extensions (nifti1.h)."""
    slices, rows, columns = volume.shape
    header = np.zeros((), _NIFTI)
    header["sizeof_hdr"], header["magic"], header["vox_offset"] = 348, b"n+1", 352
    header["dim"] = [3, columns, rows, slices, 1, 1, 1, 1]
    header["datatype"], header["bitpix"] = NIFTI_TYPES[kind]
    affine = TO_RAS @ volume.affine @ TO_SLICE_ROW_COLUMN
    header["pixdim"][:4] = [1, *np.linalg.norm(affine[:3, :3], axis=0)]
    header["scl_slope"], header["xyzt_units"], header["sform_code"] = 1, 2, 1
    header["srow"] = affine[:3]
    return header.tobytes() + bytes(4)


_NIFTI = np.dtype(
    {
        "names": [
            "sizeof_hdr", "dim", "datatype", "bitpix", "pixdim", "vox_offset", "scl_slope",
            "xyzt_units", "sform_code", "srow", "magic",
        ],
        "formats": ["<i4", "8<i2", "<i2", "<i2", "8<f4", "<f4", "<f4", "u1", "<i2", "(3,4)<f4",
            "S4",
        ],
        "offsets": [0, 40, 70, 72, 76, 108, 112, 123, 254, 280, 344],
        "itemsize": 348,
    }
)  # fmt: skip


def _png(picture: NDArray[np.uint8]) -> bytes:
    done, encoded = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, LEVEL])
    if not done:
        raise ValueError("the picture could not be encoded as PNG")
    return encoded.tobytes()
