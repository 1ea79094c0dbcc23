"""What a look at trust found, in plain words, and the page that shows it."""

from collections.abc import Mapping, Sequence
from typing import Any

from deeppneumonia.evaluation.guessing import GIVEN_AWAY
from deeppneumonia.reports.audit import AucLine, AucTable, auc_in_words
from deeppneumonia.reports.document import Fact
from deeppneumonia.reports.trust_page import Curve, TrustPage

DROP = 0.05
"""An AUC that falls by less than this is called unchanged."""

VIEWS: Mapping[str, tuple[str, str]] = {
    "outside_only": ("Lungs blacked out", "chest wall and heart are left as they were"),
    "silhouette_only": ("Outline of the lungs only", "an even grey in the shape of the lungs"),
    "patches_shuffled": ("Patches of the lungs shuffled", "texture is left, anatomy is not"),
}

CURVES: Mapping[str, tuple[str, str]] = {
    "window": ("Window", "{} times as wide"),
    "kernel": ("Kernel", "blurred by {} pixels; a negative number sharpens"),
    "noise": ("Noise", "{} grey levels more"),
}


def trust_page(found: Mapping[str, Any]) -> TrustPage:
    """The page for what `trust.json` holds."""
    findings = [*_on_pictures(found["pictures"]), *_on_features(found["features"])]
    findings += [*_on_answers(found["abstention"])]
    grave = [sentence for sentence, is_grave in findings if is_grave]
    fine = [sentence for sentence, is_grave in findings if not is_grave]
    return TrustPage(
        headline=_headline(len(grave)),
        status="found" if grave else "clean",
        grave=tuple(grave),
        fine=tuple(fine),
        tables=(*_picture_tables(found["pictures"]), *_feature_tables(found)),
        abstention=_abstention_facts(found["abstention"]),
        curves=_curves(found["abstention"]),
        provenance=(
            Fact("Model", found["checkpoint"]["model"]),
            Fact("Model file, sha256", found["checkpoint"]["sha256"]),
            Fact("Manifest, sha256", found["manifest_sha256"]),
        ),
    )


def _headline(grave: int) -> str:
    if grave == 0:
        return "Nothing was found that speaks against trusting it on patients like these."
    noun = "thing was" if grave == 1 else "things were"
    return f"{grave} {noun} found that a reader has to know before trusting it."


Sentence = tuple[str, bool]
"""What was found, and whether it speaks against the network."""


def _value(measured: Any) -> float | None:
    return measured["value"] if isinstance(measured, Mapping) else None


def _low(measured: Any) -> float:
    """Lower end of the interval; 0 where there is none, as nothing is shown then."""
    low = measured["low"] if isinstance(measured, Mapping) else None
    return 0.0 if low is None else float(low)


def _words(measured: Any) -> str:
    if not isinstance(measured, Mapping):
        return "not measured"
    return auc_in_words(measured["value"], measured["low"], measured["high"])


def _on_pictures(pictures: Mapping[str, Any]) -> list[Sentence]:
    usual = _value(pictures["as_it_is"])
    if usual is None:
        return [(f"Pictures could not be disturbed: {pictures['as_it_is']}.", True)]
    if _low(pictures["as_it_is"]) <= 0.5:
        told = f"AUC {_words(pictures['as_it_is'])} with whole pictures"
        return [(f"It is not shown to beat chance here ({told}): what follows says little.", True)]
    found: list[Sentence] = []
    for name, (title, _) in VIEWS.items():
        measured = pictures["without"].get(name)
        if _value(measured) is not None:
            found.append(_on_view(name, title, measured, _whole_of(pictures, name)))
    for kind, (title, _) in CURVES.items():
        values = [_value(one) for one in pictures["curves"].get(kind, {}).values()]
        known = [value for value in values if value is not None]
        if known:
            found.append(_on_curve(title, min(known), usual))
    return found


def _whole_of(pictures: Mapping[str, Any], name: str) -> tuple[float, str]:
    """The AUC with whole pictures of the patients of a view, and who these are if not all."""
    of = pictures["of"][name]
    usual, patients = _value(of["as_it_is"]) or 0.0, of["patients"]
    if patients == pictures["patients"]:
        return usual, ""
    return usual, f"{patients} of {pictures['patients']} patients, the others' are cut to the lung"


def _on_view(name: str, title: str, measured: Any, whole: tuple[float, str]) -> Sentence:
    value, (usual, who) = float(measured["value"]), whole
    told = f"{title}: AUC {_words(measured)}, with the whole picture {usual:.2f}"
    told += f" ({who})." if who else "."
    if name == "patches_shuffled":
        if value > usual - DROP:
            return f"It reads texture and not anatomy. {told}", True
        return f"It needs the lungs in one piece. {told}", False
    if measured["low"] is None:
        return f"Whether it needs lung tissue is not shown: a class has one patient. {told}", True
    if _low(measured) > GIVEN_AWAY:
        return f"It can tell the label without seeing lung tissue. {told}", True
    if _low(measured) > 0.5:  # beyond chance, but not beyond what honest sets show
        return f"Without lung tissue it still knows somewhat more than chance. {told}", False
    return f"Without lung tissue it is not shown to know better than chance. {told}", False


def _on_curve(title: str, worst: float, usual: float) -> Sentence:
    told = f"{title}: AUC {worst:.2f} at worst, with the picture as it is {usual:.2f}."
    if worst < usual - DROP:
        return f"Another scanner or export would change its answers. {told}", True
    return f"It bears this disturbance. {told}", False


def _on_features(features: Mapping[str, Any]) -> list[Sentence]:
    found: list[Sentence] = []
    permuted = _low(features["label_permuted"])
    if _value(features["label_permuted"]) is not None:
        told = f"With labels dealt out at random, the AUC is {_words(features['label_permuted'])}."
        if permuted > 0.5:
            found.append((f"The measuring itself leaks, do not believe this page. {told}", True))
        else:
            found.append((f"The measuring does not leak. {told}", False))
    if _low(features["site"]) > GIVEN_AWAY:
        found.append(
            (
                f"The hospital can be read from its features (AUC {_words(features['site'])}), so "
                f"that an answer may stand for a hospital where labels differ between hospitals.",
                True,
            )
        )
    for site, measured in features["leave_one_site_out"].items():
        if _value(measured) is not None and _low(measured) <= 0.5:
            found.append(
                (
                    f"What it learned elsewhere is not shown to hold at {site}: a line fitted on "
                    f"the other sites reaches an AUC of {_words(measured)} there.",
                    True,
                )
            )
    return found


def _on_answers(answers: Mapping[str, Any]) -> list[Sentence]:
    share = answers["answered_share_by_checks_and_distance"]
    found: list[Sentence] = []
    if answers["distance_limit"] is None:
        found.append(
            ("It keeps no statistics of its training patients: it cannot say that a study is "
             "unlike them.", True)
        )  # fmt: skip
    elif share < 0.95:
        found.append(
            (f"Checks and distance leave {1 - share:.0%} of these patients without an answer: "
             f"they are unlike those it was trained on.", True)
        )  # fmt: skip
    else:
        found.append((f"Checks and distance let {share:.0%} of these patients through.", False))
    return found


def _line(title: str, meaning: str, measured: Any, patients: int, *, grave: bool) -> AucLine:
    interval = measured if isinstance(measured, Mapping) else {}
    return AucLine(
        title=title,
        meaning=meaning,
        value=interval.get("value"),
        low=interval.get("low"),
        high=interval.get("high"),
        patients=patients,
        gives_away=grave,
        remark="" if interval else f"Not done: {measured}.",
    )


def _picture_tables(pictures: Mapping[str, Any]) -> Sequence[AucTable]:
    patients, usual = pictures["patients"], _value(pictures["as_it_is"]) or 0.0
    lines = [_line("As it is", "", pictures["as_it_is"], patients, grave=False)]
    for name, (title, meaning) in VIEWS.items():
        measured = pictures["without"].get(name, "no slice was left")
        grave, who = False, ""
        if _value(measured) is not None:
            whole = _whole_of(pictures, name)
            grave, who = _on_view(name, title, measured, whole)[1], whole[1]
        of_whom = f"{meaning}; {who}" if who else meaning
        lines.append(_line(title, of_whom, measured, patients, grave=grave))
    disturbed = [
        _line(title, meaning.format(level), measured, patients,
              grave=(_value(measured) or usual) < usual - DROP)
        for kind, (title, meaning) in CURVES.items()
        for level, measured in pictures["curves"].get(kind, {}).items()
    ]  # fmt: skip
    return (
        AucTable(
            "Pictures that lack something",
            "Patient AUC of the same network. It should fall to one half where no lung is seen.",
            tuple(lines),
        ),
        AucTable(
            "Pictures that are disturbed",
            "It should stay where it is: these differ from hospital to hospital.",
            tuple(disturbed),
        ),
    )


def _feature_tables(found: Mapping[str, Any]) -> Sequence[AucTable]:
    features = found["features"]
    lines = [
        _line("Label", "read out of frozen features", features["label"], 0, grave=False),
        _line("Label, dealt out at random", "the control: one half", features["label_permuted"], 0,
              grave=_low(features["label_permuted"]) > 0.5),
        _line("Site", "one half would be best", features["site"], 0,
              grave=_low(features["site"]) > GIVEN_AWAY),
    ]  # fmt: skip
    inside = [
        _line(f"{site}", "the network, among the patients of this site", measured, 0, grave=False)
        for site, measured in found["sites"].items()
    ]
    outside = [
        _line(f"{site}", "a line fitted on the features of the other sites", measured, 0,
              grave=_value(measured) is not None and _low(measured) <= 0.5)
        for site, measured in features["leave_one_site_out"].items()
    ]  # fmt: skip
    return (
        AucTable("What can be read from its features", "Cross-validated by patient.", tuple(lines)),
        AucTable("Within one site", "A label that goes with the site is of no use here.",
                 tuple(inside)),
        *([AucTable("A site left out", "Does what was learned elsewhere hold?", tuple(outside))]
          if outside else []),
    )  # fmt: skip


def _abstention_facts(answers: Mapping[str, Any]) -> tuple[Fact, ...]:
    def share(name: str) -> str:
        return f"{answers[name]} of {answers['patients']}"

    wrong, of_all = answers["error_of_answered"], answers["error_of_all"]
    return (
        Fact("Answered", share("answered")),
        Fact("Refused", share("refused")),
        Fact("Left open: a check of the input", share("open_check")),
        Fact("Left open: unlike the training patients", share("open_distance")),
        Fact("Left open: no answer leads clearly", share("open_weak_lead")),
        Fact("Wrong among the answered", "-" if wrong is None else f"{wrong:.0%}"),
        Fact("Wrong if all were answered", "-" if of_all is None else f"{of_all:.0%}"),
    )


def _curves(answers: Mapping[str, Any]) -> tuple[Curve, ...]:
    names = {"confidence": "least confident first", "distance": "farthest first"}
    return tuple(
        Curve(
            f"Withheld: {names[name]}",
            tuple((point["coverage"], point["risk"]) for point in curve["points"]),
            curve["area"],
        )
        for name, curve in answers["risk_coverage"].items()
    )
