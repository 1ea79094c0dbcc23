"""From a diagnosis to the words of its report, each derived from a number that the model gave."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from deeppneumonia.domain import (
    Diagnosis,
    KeySlice,
    PatientDiagnosis,
    SlicePrediction,
    SourceKind,
    Status,
    title_of,
)
from deeppneumonia.domain.wording import counted
from deeppneumonia.reports.document import (
    DISCLAIMER,
    Fact,
    FlagLine,
    Impression,
    ProbabilityLine,
    ReportContext,
    ReportDocument,
    SliceLine,
    ranked_lines,
)
from deeppneumonia.reports.key_findings import key_finding, picture_geometry
from deeppneumonia.reports.technique import dropped_slices, model_name, technique
from deeppneumonia.reports.trust import trust_lines
from deeppneumonia.reports.wording import MOST_LIKELY, as_percent, capitalised, listed

TITLE = "Chest CT: pneumonia assessment by computer"
FEET_TO_HEAD = ("feet", "head")


def compose(
    diagnosis: PatientDiagnosis, key_slices: Sequence[KeySlice], context: ReportContext
) -> ReportDocument:
    """Everything that a report says. A refusal gives no probability, whatever was computed.

    Args:
        diagnosis: the answer to the study.
        key_slices: one for each of `diagnosis.key_slices`, in that order; none on a refusal.
        context: what came in, when, and what read it.

    Raises:
        ValueError: if the key slices are not those that the diagnosis names.
    """
    refused = diagnosis.status is Status.REFUSED
    shown = () if refused else tuple(key_slices)
    expected = () if refused else diagnosis.key_slices
    if tuple(one.prediction.slice_index for one in shown) != expected:
        raise ValueError(f"key slices must be {expected}, in this order")
    geometry = picture_geometry(context.volume)
    lines = () if refused else _slice_lines(diagnosis)
    return ReportDocument(
        title=TITLE,
        disclaimer=DISCLAIMER,
        status=diagnosis.status,
        created=context.created.strftime("%Y-%m-%d %H:%M %Z").strip(),
        technique=technique(diagnosis, context),
        findings=_findings(diagnosis, context),
        key_findings=tuple(key_finding(one, geometry, context) for one in shown),
        slices=lines,
        ends=FEET_TO_HEAD if _knows_ends(context) else ("first", "last"),
        slice_count=len(context.volume) if context.volume else 0,
        chart_caption=(
            "Each column is one slice, in the network's own figures, which are not calibrated. "
            "Underlined, with their number: the key slices."
            + (" x: a slice that was dropped." if dropped_slices(diagnosis) else "")
        ),
        impression=_impression(diagnosis),
        flags=tuple(FlagLine(one.code, one.message, one.blocks) for one in diagnosis.flags),
        quality_remark=("Nothing beyond the reasons above." if refused else "Nothing was noticed."),
        trust=trust_lines(diagnosis),
        limits=_limits(diagnosis, context),
        provenance=_provenance(diagnosis, context),
        geometry=geometry,
    )


def _knows_ends(context: ReportContext) -> bool:
    """False for pictures: they come in the order of their names, from either end."""
    return context.volume is None or context.volume.has_geometry


def _slice_lines(diagnosis: PatientDiagnosis) -> tuple[SliceLine, ...]:
    kept = [
        SliceLine(
            one.slice_index,
            ranked_lines(one.probabilities),
            len(one.details),
            is_key=one.slice_index in diagnosis.key_slices,
        )
        for one in diagnosis.slices
    ]
    dropped = [
        SliceLine(index, (), 0, dropped_because=reason)
        for index, reason in dropped_slices(diagnosis)
    ]
    return tuple(sorted(kept + dropped, key=lambda line: line.slice_index))


def _findings(diagnosis: PatientDiagnosis, context: ReportContext) -> tuple[str, ...]:
    """The overall pattern in sober words: what most slices say, where, and with which details."""
    if diagnosis.status is Status.REFUSED:
        return ("The network's opinion is not shown, because the study cannot carry one.",)
    slices = sorted(diagnosis.slices, key=lambda one: one.slice_index)
    leading = _leading(diagnosis.probabilities)
    return (
        _votes(slices, diagnosis.probabilities),
        *_thirds(slices, leading, knows_ends=_knows_ends(context)),
        _details_found(slices, context.detail_level),
    )


def _leading(probabilities: Mapping[str, float]) -> str:
    return max(probabilities, key=lambda label: probabilities[label])


def _votes(slices: Sequence[SlicePrediction], labels: Mapping[str, float]) -> str:
    best = [_leading(one.probabilities) for one in slices]
    votes = {label: best.count(label) for label in labels}
    ranked = sorted((label for label in votes if votes[label]), key=lambda label: -votes[label])
    if len(ranked) == 1:
        every = "The one slice" if len(slices) == 1 else f"All {len(slices)} slices"
        verb = "speaks" if len(slices) == 1 else "speak"
        return f"{every} read by the network {verb} most for {title_of(ranked[0])}."
    parts = [f"{votes[label]} for {title_of(label)}" for label in ranked]
    return f"The {len(slices)} slices read by the network speak most: {listed(parts)}."


def _thirds(slices: Sequence[SlicePrediction], label: str, *, knows_ends: bool) -> tuple[str, ...]:
    """Mean probability by height; needs two slices in every third to be worth a sentence."""
    if len(slices) < 6:
        return ()
    cut = [0, len(slices) // 3, len(slices) - len(slices) // 3, len(slices)]
    means = [
        sum(one.probabilities[label] for one in slices[start:stop]) / (stop - start)
        for start, stop in pairwise(cut)
    ]
    lower, middle, upper = map(as_percent, means)
    lowest, highest = ("lower", "upper") if knows_ends else ("first", "last")
    return (
        f"The network's own figures for {title_of(label)}, not calibrated: on average {lower} in "
        f"the {lowest}, {middle} in the middle and {upper} in the {highest} third of these slices.",
    )


def _details_found(slices: Sequence[SlicePrediction], level: float | None) -> str:
    strength = "" if level is None else f" for a disease with {level:.2f} or more"
    total = sum(len(one.details) for one in slices)
    if not total:
        what = f"alone speaks{strength}" if strength else "was found"
        return f"No detail {what} on any slice, so no box is drawn."
    bearing = sum(bool(one.details) for one in slices)
    which = ", it alone speaks" if total == 1 else ", each alone speaks"
    reach = f"{which}{strength}" if strength else ""
    found = capitalised(counted(total, "detail"))
    return f"{found} on {bearing} of {counted(len(slices), 'slice')}{reach}."


def _impression(diagnosis: PatientDiagnosis) -> Impression:
    if diagnosis.status is Status.REFUSED:
        return Impression(
            "No answer from this study",
            ("This study cannot be assessed, so no probability is given.",),
            diagnosis.reasons,
            (),
        )
    lines = _answer_first(ranked_lines(diagnosis.probabilities))
    others = [f"{title_of(line.label)} is {line.words} ({line.percent})" for line in lines[1:]]
    lead = f"{title_of(lines[0].label)} is {lines[0].words} ({lines[0].percent})"
    if diagnosis.status is Status.INDETERMINATE:
        return Impression(
            "No single diagnosis",
            (
                "The model does not commit itself; the probabilities below are shown for "
                "orientation and are no answer.",
            ),
            diagnosis.reasons,
            # No "very likely" beside a number that is not to be trusted.
            tuple(replace(line, words="") for line in lines),
        )
    return Impression(
        f"{lines[0].title}: {lines[0].words}",
        (f"Of the {len(lines)} answers that this model knows, {lead}; {listed(others)}.",),
        diagnosis.reasons,
        lines,
    )


def _answer_first(lines: tuple[ProbabilityLine, ...]) -> tuple[ProbabilityLine, ...]:
    """The same lines; the first is not called less likely while it is the answer."""
    first, *others = lines
    return lines if first.probability >= 0.5 else (replace(first, words=MOST_LIKELY), *others)


def _limits(diagnosis: PatientDiagnosis, context: ReportContext) -> tuple[str, ...]:
    general = (
        f"{DISCLAIMER}: not to be used for diagnosis, triage or treatment. A radiologist reads "
        "the whole study.",
    )
    if diagnosis.status is Status.REFUSED:
        return (*general, "A refusal says nothing about the patient, neither ill nor healthy.")
    known = listed([title_of(label) for label in diagnosis.probabilities])
    return (
        *general,
        f"The model knows {known}, and nothing else: any other disease is given one of these "
        "names or called indeterminate.",
        *_healthy_limit(diagnosis),
        *context.trained_on,
        "The patient's probabilities are calibrated on validation patients of the training "
        "hospitals and may be off for other scanners and other patients. Those of single slices "
        "are not calibrated: they run to extremes.",
        "Boxes and heat maps show what the network used, not where disease begins and ends. "
        "Nothing is drawn where it found nothing. A heat map is scaled to its own slice, so "
        "colours of two slices do not compare.",
    )


def _healthy_limit(diagnosis: PatientDiagnosis) -> tuple[str, ...]:
    if diagnosis.diagnosis != Diagnosis.HEALTHY:
        return ()
    return ("This answer does not rule out disease: only some of the slices were read.",)


def _provenance(diagnosis: PatientDiagnosis, context: ReportContext) -> tuple[Fact, ...]:
    facts = [
        Fact("Report made", context.created.strftime("%Y-%m-%d %H:%M %Z").strip()),
        Fact("Software", f"DeepPneumonia {context.version}"),
        Fact("Model", model_name(diagnosis, context)),
        Fact("Model file, sha256", diagnosis.model.sha256),
    ]
    uid = diagnosis.quality.get("study_uid")
    if isinstance(uid, str):
        what = "UID" if diagnosis.quality.get("format") == SourceKind.DICOM else "content id"
        digest = hashlib.sha256(uid.encode()).hexdigest()
        facts.append(Fact(f"Study, sha256 of its {what}", digest[:16]))
    if "total" in diagnosis.timing_s:
        facts.append(Fact("Time taken", f"{diagnosis.timing_s['total']:.1f} s"))
    return tuple(facts)
