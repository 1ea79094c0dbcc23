"""How often strange inputs get no answer, and ordinary ones get one.

    python benchmarks/abstention.py --checkpoint FILE --per-kind 12 --data DATA --out DIR

One row a kind: refused before the network, left open by a check or by the distance from the
training patients, left open only because no answer leads clearly, and answered. With
`--checks-only` no network is asked: what reader and input checks alone catch, where "answered"
means that a network would be asked; single slices of open chest CT then count as ordinary.
"""

import argparse
import csv
import tempfile
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from strange_inputs import open_slices, open_studies, ordinary, strange_inputs, table_crops

from deeppneumonia.domain import PatientDiagnosis, Status, Unit, volume_of
from deeppneumonia.errors import InputRefusedError
from deeppneumonia.preprocessing import check_input, examine
from deeppneumonia.readers import read_volume
from deeppneumonia.workflows.diagnose import Diagnoser

COLUMNS = ("refused", "open: check", "open: distance", "open: weak lead", "answered")


def outcome(diagnosis: PatientDiagnosis) -> str:
    """Which of the columns an answer belongs to."""
    if diagnosis.status is Status.REFUSED:
        return "refused"
    doubts = [flag.code for flag in diagnosis.flags if flag.leaves_open]
    if any(code != "unlike_training" for code in doubts):
        return "open: check"
    if doubts:
        return "open: distance"
    return "answered" if diagnosis.status is Status.DIAGNOSED else "open: weak lead"


def by_network(diagnoser: Diagnoser, path: Path) -> tuple[str, object, str]:
    """How a study ends, its distance from the training patients, and its flags."""
    answer = diagnoser.diagnose(path)
    trust = answer.quality.get("trust", {})
    distance = trust.get("distance") if isinstance(trust, dict) else None
    return outcome(answer), distance, " ".join(flag.code for flag in answer.flags)


def by_checks(path: Path) -> tuple[str, object, str]:
    """The same, as far as reader and input checks decide it."""
    try:
        volume = read_volume(path)
        found = examine(volume)
    except InputRefusedError:
        return "refused", None, ""
    flags = (*volume.flags, *found.flags, *check_input(volume, found).flags)
    codes = " ".join(flag.code for flag in flags)
    if any(flag.blocks for flag in flags):
        return "refused", None, codes
    is_open = any(flag.leaves_open for flag in flags)
    return "open: check" if is_open else "answered", None, codes


def crops_refused(data: Path) -> tuple[int, int]:
    """How many of the table crops have no lung left, of how many."""
    crops = table_crops(data)
    refused = 0
    for file in crops:
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        volume = replace(volume_of(grey[None], Unit.GREY), lung_masked=True)
        refused += not examine(volume).kept
    return refused, len(crops)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--per-kind", type=int, default=12)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--checks-only", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    diagnoser = None
    if not options.checks_only:
        diagnoser = Diagnoser.load(options.checkpoint, device="cpu")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        strange = strange_inputs(Path(folder) / "strange", options.per_kind, options.data)
        usual = ordinary(Path(folder) / "usual", options.per_kind)
        if options.data is not None:
            usual = chain(usual, open_studies(Path(folder) / "open", options.data))
        if options.checks_only and options.data is not None:
            usual = chain(usual, open_slices(options.data, 10 * options.per_kind))
        for group, cases in (("strange", strange), ("ordinary", usual)):
            for kind, path in cases:
                ended, distance, codes = (
                    by_checks(path) if diagnoser is None else by_network(diagnoser, path)
                )
                name = f"{group}: {kind}"
                counts[name][ended] += 1
                rows.append((name, path.name, ended, distance, codes))
                print(*rows[-1], flush=True)
    if options.data is not None:
        refused, total = crops_refused(options.data)
        counts["strange: crops of the table alone"].update(
            {"refused": refused, "answered": total - refused}
        )
    with (options.out / "abstention.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("kind", "case", "outcome", "distance", "flags"), *rows])
    print_table(counts)


def print_table(counts: dict[str, Counter[str]]) -> None:
    print("| kind | cases | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 2) + "|")
    for kind, found in counts.items():
        cells = " | ".join(str(found[name]) for name in COLUMNS)
        print(f"| {kind} | {sum(found.values())} | {cells} |")
    for group in ("strange", "ordinary"):
        whole = np.array(
            [
                [found[c] for c in COLUMNS]
                for kind, found in counts.items()
                if kind.startswith(group)
            ]
        ).sum(axis=0)
        cells = " | ".join(map(str, whole))
        print(f"| **{group}** | {whole.sum()} | {cells} |")
        print(
            f"{group}: answered {whole[-1] / whole.sum():.1%}, "
            f"checks and distance alone would answer {whole[-2:].sum() / whole.sum():.1%}"
        )


if __name__ == "__main__":
    main()
