"""The first part of a report: what came in, what was used of it, and what read it."""

from collections import Counter
from collections.abc import Iterable

from deeppneumonia.domain import PatientDiagnosis, SourceKind, Status, Unit
from deeppneumonia.domain.wording import counted
from deeppneumonia.reports.document import Fact, ReportContext
from deeppneumonia.reports.wording import listed

FORMATS = {
    SourceKind.DICOM: "DICOM",
    SourceKind.NIFTI: "NIfTI",
    SourceKind.META_IMAGE: "MetaImage (MHA)",
    SourceKind.NRRD: "NRRD",
    SourceKind.PICTURES: "folder of pictures",
}


def technique(diagnosis: PatientDiagnosis, context: ReportContext) -> tuple[Fact, ...]:
    """What came in and how it was read; a line that is not known is left out.

    Reads these entries of `diagnosis.quality`, all optional: `format`, `unit`, `spacing_mm`
    (slice, row, column), `series_description`, `series_chosen_because`, `lung_volume_ml`,
    `window_center_hu`, `window_width_hu` and `dropped` (a list of `{"index", "reason"}`).
    """
    facts = [*_what_came(diagnosis, context), *_what_was_read(diagnosis)]
    facts.append(
        ("Model", f"{model_name(diagnosis, context)}, sha256 {diagnosis.model.sha256[:12]}")
    )
    return tuple(Fact(name, value) for name, value in facts if value)


def model_name(diagnosis: PatientDiagnosis, context: ReportContext) -> str:
    """The name under which the checkpoint was released, if it was, and that of its network."""
    network = diagnosis.model.name
    return f"{context.release} ({network})" if context.release else network


def dropped_slices(diagnosis: PatientDiagnosis) -> list[tuple[int, str]]:
    """(slice index, reason) of each slice that was looked at and not given to the network."""
    dropped = diagnosis.quality.get("dropped", ())
    if not isinstance(dropped, Iterable):
        return []
    return [(int(one["index"]), str(one["reason"])) for one in dropped]


def _what_came(diagnosis: PatientDiagnosis, context: ReportContext) -> list[tuple[str, str]]:
    quality, volume = diagnosis.quality, context.volume
    kind = str(quality.get("format", ""))
    modality = volume.series.modality if volume and volume.series else ""
    modality = "" if modality == "OT" else modality
    return [
        (
            "Study",
            ", ".join(filter(None, [FORMATS.get(SourceKind(kind)) if kind else "", modality])),
        ),
        ("Series", str(quality.get("series_description", ""))),
        ("Series chosen", str(quality.get("series_chosen_because", ""))),
        ("Slices", _slices(diagnosis, context)),
        ("Values", _values(diagnosis)),
    ]


def _values(diagnosis: PatientDiagnosis) -> str:
    quality = diagnosis.quality
    if quality.get("unit") == Unit.GREY:
        return "Grey levels of pictures; Hounsfield units are not known"
    if quality.get("unit") != Unit.HU:
        return ""
    level, width = quality.get("window_center_hu"), quality.get("window_width_hu")
    if not isinstance(level, (int, float)) or not isinstance(width, (int, float)):
        return "Hounsfield units"
    return f"Hounsfield units, shown in the lung window (level {level:.0f}, width {width:.0f})"


def _slices(diagnosis: PatientDiagnosis, context: ReportContext) -> str:
    if context.volume is None:
        return ""
    if not context.volume.has_geometry:  # whether from the feet or from the head, nobody knows
        return f"{len(context.volume)}, numbered as they came (the first is 0)"
    text = f"{len(context.volume)}, numbered from the feet (the lowest is 0)"
    spacing = diagnosis.quality.get("spacing_mm")
    if isinstance(spacing, (list, tuple)) and len(spacing) == 3:
        between, row, column = (float(length) for length in spacing)
        text += f"; {between:.2f} mm apart, pixels {row:.2f} x {column:.2f} mm"
    return text


def _what_was_read(diagnosis: PatientDiagnosis) -> list[tuple[str, str]]:
    dropped = dropped_slices(diagnosis)
    kept = 0 if diagnosis.status is Status.REFUSED else len(diagnosis.slices)
    examined = kept + len(dropped)
    facts = []
    if examined and diagnosis.status is not Status.REFUSED:
        facts.append(
            ("Examined", f"{counted(examined, 'slice')}: {kept} read, {len(dropped)} dropped")
        )
    if dropped:
        reasons = Counter(reason.partition(":")[0].rstrip(".") for _, reason in dropped)
        facts.append(
            ("Dropped because", listed([f"{why} ({count})" for why, count in reasons.items()]))
        )
    lungs = diagnosis.quality.get("lung_volume_ml")
    if isinstance(lungs, (int, float)):
        facts.append(("Lung volume", f"about {lungs:.0f} ml in the examined slices"))
    return facts
