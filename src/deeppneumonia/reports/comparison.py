"""The numbers of a comparison as tables for people (Markdown) and for programs (CSV)."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

TITLES = {
    "auc": "AUC", "recall": "recall", "precision": "precision", "f1": "F1",
    "accuracy": "accuracy", "ece": "ECE",
}  # fmt: skip
METRICS = tuple(TITLES)
TESTED = "test"
HEADER = ("set", "level", "network", "metric", "value", "low", "high")

Table = Sequence[Sequence[str]]


def comparison_markdown(numbers: Mapping[str, Any], figures: Mapping[str, str]) -> str:
    """Every table under a heading of its own, from the fourth level down.

    Args:
        numbers: of one comparison, as `results.json` holds them.
        figures: address of the `roc` and the `confusion` figure, relative to the page.
    """
    parts = [_caption(numbers)]
    for title, found in numbers["sets"].items():
        parts += list(_set(numbers, title, found))
        if title == TESTED:
            parts += [f"![ROC of all networks]({figures['roc']})"] if "roc" in figures else []
            parts += [f"![Confusion]({figures['confusion']})"] if "confusion" in figures else []
            parts += ["#### Costs", _costs(numbers)]
    return "\n\n".join(parts) + "\n"


def comparison_csv(numbers: Mapping[str, Any]) -> str:
    """One row per number: set, level, network, metric, value, and its interval where it has one."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for title, found in numbers["sets"].items():
        for network, scored in found["networks"].items():
            for level, metric, value in _flat(scored):
                ends = [value.get(end) for end in ("value", "low", "high")]
                cells = ["" if one is None else f"{one:.6g}" for one in ends]
                writer.writerow([title, level, network, metric, *cells])
    for network, costs in numbers["costs"].items():
        for name, cost in costs.items():
            if isinstance(cost, (int, float)):
                writer.writerow(["", "cost", network, name, f"{cost:.6g}", "", ""])
    return text.getvalue()


def _flat(scored: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(level, metric, {value, low, high}) of one network on one set."""
    for level in ("patient", "slice"):
        for metric, value in scored[level].items():
            if metric != "per_class":
                yield level, metric, value
        for label, metrics in scored[level]["per_class"].items():
            for metric, value in metrics.items():
                yield level, f"{metric} {label}", value
    for number, auc in enumerate(scored.get("fold_auc", ()), start=1):
        yield "fold", f"auc {number}", {"value": auc}
    if "mean_fold_auc" in scored:
        yield "fold", "auc", scored["mean_fold_auc"]
    for point in scored["operating_points"]:
        for name in ("sensitivity", "specificity"):
            yield "patient", f"{name} at the point for {point['target']:.2f}", point[name]
    yield from _flat_tests(scored["against"])


def _flat_tests(against: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for reference, tests in against.items():
        for level, key in (("patient", "auc"), ("fold", "mean_fold_auc")):
            if auc := tests.get(key):
                yield level, f"auc minus {reference}", {**auc, "value": auc["difference"]}
                yield level, f"p DeLong against {reference}", {"value": auc["p_value"]}
        p_value = tests["errors"]["p_value"]
        yield "patient", f"p McNemar against {reference}", {"value": p_value}


def _caption(numbers: Mapping[str, Any]) -> str:
    patients = ", ".join(f"{count} {label}" for label, count in numbers["patients"].items())
    repeats = numbers["repeats"]
    dealt = "" if repeats == 1 else f", dealt {repeats} times (metrics are means of the repeats)"
    commits = {one for costs in numbers["costs"].values() for one in costs["commits"]}
    devices = {one for costs in numbers["costs"].values() for one in costs.get("devices", ())}
    return (
        f"Patients: {patients}; hospitals: {', '.join(numbers['sites'])}. Folds by patient: "
        f"{numbers['folds']}{dealt}, the same for all networks; each fold's next one validates "
        f"(it stops the training and calibrates), the tested one chooses nothing. Classes: "
        f"{', '.join(numbers['classes'])}. Commit {', '.join(one[:15] for one in sorted(commits))}"
        f"; machine: {'; '.join(sorted(devices))}."
    )


def _set(numbers: Mapping[str, Any], title: str, found: Mapping[str, Any]) -> Iterator[str]:
    counts = ", ".join(f"{count} {label}" for label, count in found["patients"].items())
    yield f"#### {_heading(title)}"
    slices = found["slices"]
    yield (
        f"{counts} patients; {slices['answered']} of {slices['total']} slices could be read."
        + _remark(title, found)
    )
    yield _markdown(_level(numbers, found, "patient", with_folds=title == TESTED))
    if not title.startswith("external"):
        yield "Slices (image level), as the networks gave them:"
        yield _markdown(_level(numbers, found, "slice", with_folds=False))
        yield from _tests(found)
    yield from _operating(found)


def _heading(title: str) -> str:
    kind, _, name = title.partition(" ")
    return {
        TESTED: "All test patients",
        "within": f"Within one hospital: {name}",
        "external": f"External: {name}",
    }[kind]


def _remark(title: str, found: Mapping[str, Any]) -> str:
    refused = max(network["refused_patients"] for network in found["networks"].values())
    verb = "counts" if refused == 1 else "count"
    text = f" {refused} of the patients got no answer and {verb} as undecided." if refused else ""
    if title.startswith("external") and found["answers_each"] > 1:
        text += (
            f" Nothing was trained on them; each metric is the mean over the "
            f"{found['answers_each']} networks of the folds."
        )
    return text


def _level(
    numbers: Mapping[str, Any], found: Mapping[str, Any], level: str, *, with_folds: bool
) -> Table:
    extra = ["AUC, mean of folds"] if with_folds else []
    rows = [["network", "start", TITLES["auc"], *extra, *(TITLES[name] for name in METRICS[1:])]]
    for network, scored in found["networks"].items():
        mean = [score_cell(scored["mean_fold_auc"])] if with_folds else []
        cells = [score_cell(scored[level][name]) for name in METRICS]
        start = _start(numbers["costs"][network])
        rows.append([network, start, cells[0], *mean, *cells[1:]])
    return rows


def _start(costs: Mapping[str, Any]) -> str:
    if "parameters" not in costs:
        return "-"
    return costs["start"] or "from scratch"


def _tests(found: Mapping[str, Any]) -> Iterator[str]:
    """What each network has over each reference, at patient level."""
    references = {name: None for one in found["networks"].values() for name in one["against"]}
    for reference in references:
        tested = {
            network: scored["against"][reference]
            for network, scored in found["networks"].items()
            if reference in scored["against"]
        }
        folds = any("mean_fold_auc" in tests for tests in tested.values())
        within = ["mean of folds minus its", "p"] if folds else []
        rows = [
            ["network", "AUC minus its", "p (DeLong)", *within, "right where it errs",
             "wrong where it is right", "p (McNemar)"]
        ]  # fmt: skip
        rows += [[network, *paired_cells(tests)] for network, tests in tested.items()]
        yield f"Patients, paired tests against {reference} (not corrected for their number):"
        yield _markdown(rows)


def paired_cells(tests: Mapping[str, Any]) -> list[str]:
    """What one network has over another, as the tables' words: AUC, of folds too, and errors."""
    errors = tests["errors"]
    within = difference_cells(tests["mean_fold_auc"]) if "mean_fold_auc" in tests else []
    return [
        *difference_cells(tests["auc"]),
        *within,
        str(errors["only_first_right"]),
        str(errors["only_second_right"]),
        _p(errors["p_value"]),
    ]


def difference_cells(auc: Mapping[str, Any]) -> list[str]:
    """A difference of AUC with its interval, and its p value."""
    ends = "" if auc["low"] is None else f" ({auc['low']:+.3f} to {auc['high']:+.3f})"
    return [f"{auc['difference']:+.3f}{ends}", _p(auc["p_value"])]


def _operating(found: Mapping[str, Any]) -> Iterator[str]:
    """Sensitivity and specificity at the thresholds that the validation patients chose."""
    rows: list[list[str]] = []
    for network, scored in found["networks"].items():
        points = scored["operating_points"]
        if not points:
            continue
        if not rows:
            words = [f"{point['target']:.0%} wanted: " for point in points]
            rows.append(
                ["network"] + [w + name for w in words for name in ("sensitivity", "specificity")]
            )
        cells = [
            score_cell(point[name]) for point in points for name in ("sensitivity", "specificity")
        ]
        rows.append([network, *cells])
    if rows:
        yield "Operating points for the first class, chosen on validation patients, on these:"
        yield _markdown(rows)


def _costs(numbers: Mapping[str, Any]) -> str:
    rows = [
        ["network", "architecture", "parameters, M", "picture, px", "GMAC a slice",
         "s a patient", "slices a patient", "hours, all folds"]
    ]  # fmt: skip
    for network, costs in numbers["costs"].items():
        if "parameters" not in costs:
            continue
        rows.append(
            [
                network,
                costs["model"],
                f"{costs['parameters'] / 1e6:.1f}",
                str(costs["picture_px"]),
                f"{costs['gmac']:.2f}",
                f"{costs['seconds_per_patient']:.2f}",
                f"{costs['slices_per_patient']:.1f}",
                f"{costs['hours']:.2f}",
            ]
        )
    return _markdown(rows)


def score_cell(metric: Mapping[str, float | None]) -> str:
    """A metric with its interval; a dash where it is not defined."""
    if metric["value"] is None:
        return "-"
    if metric["low"] is None:
        return f"{metric['value']:.3f}"
    return f"{metric['value']:.3f} ({metric['low']:.2f}-{metric['high']:.2f})"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _markdown(rows: Table) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
