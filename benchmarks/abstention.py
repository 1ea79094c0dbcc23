"""How often strange inputs get no answer, and ordinary ones get one.

    python benchmarks/abstention.py --checkpoint FILE --per-kind 12 --data DATA --out DIR

One row a kind: refused before the network, left open by a check or by the distance from the
training patients, left open only because no answer leads clearly, and answered.
"""

import argparse
import csv
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from strange_inputs import ordinary, strange_inputs, table_crops

from deeppneumonia.domain import PatientDiagnosis, Status, Unit, volume_of
from deeppneumonia.preprocessing import examine
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


def crops_refused(data: Path) -> tuple[int, int]:
    """How many of the table crops have no lung left, of how many."""
    from dataclasses import replace

    import cv2

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
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    diagnoser = Diagnoser.load(options.checkpoint, device="cpu")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        strange = strange_inputs(Path(folder) / "strange", options.per_kind, options.data)
        usual = ordinary(Path(folder) / "usual", options.per_kind)
        for group, cases in (("strange", strange), ("ordinary", usual)):
            for kind, path in cases:
                answer = diagnoser.diagnose(path)
                name = f"{group}: {kind}"
                counts[name][outcome(answer)] += 1
                trust = answer.quality.get("trust", {})
                distance = trust.get("distance") if isinstance(trust, dict) else None
                codes = " ".join(flag.code for flag in answer.flags)
                rows.append((name, path.name, outcome(answer), distance, codes))
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
