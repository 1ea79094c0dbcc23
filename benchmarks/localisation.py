"""Do boxes and heat maps lie on lesions, and does a network rank slices as a radiologist did?

    python benchmarks/localisation.py --checkpoint default --data DATA --out localisation.json

MosMed and MedSeg masks, phantoms of unseen seeds, infection labels of COVID-CT-MD. Everything is
measured a second time with random weights in the same network, and against chance: boxes of the
same sizes with their middles drawn from the lung, points drawn from the lung.
"""

import argparse
import csv
import json
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deeppneumonia.checkpoint import Checkpoint
from deeppneumonia.domain import LungSlice
from deeppneumonia.evaluation.localisation import (
    energy_inside,
    hit_at,
    pointing_hit,
    random_boxes,
    share_of_lung,
)
from deeppneumonia.explanation.faithfulness import faithfulness
from deeppneumonia.inference import TorchEngine
from deeppneumonia.models import create_model
from deeppneumonia.phantoms import PhantomConfig, make_phantom
from deeppneumonia.preprocessing import Fill, examine
from deeppneumonia.preprocessing.picture import make_picture, marks_on_picture
from deeppneumonia.readers import read_volume, sharing_a_child
from deeppneumonia.workflows.key_slices import heat_of, within
from deeppneumonia.workflows.releases import open_checkpoint

LEAST_LESION = 0.005
"""Share of the lung; smaller lesions are a handful of pixels in the network's picture."""

FIRST_SEED = 800_000
BATCH = 16
DRAWS = 200
KS = (1, 3, 6)


Row = dict[str, float]
Pictures = NDArray[np.float32]


@dataclass(frozen=True)
class Lesion:
    """One slice with a lesion, on the network's own grid."""

    site: str
    patient: str
    label: str
    picture: NDArray[np.uint8]
    lung: NDArray[np.bool_]
    lesion: NDArray[np.bool_]


def on_picture(
    site: str,
    patient: str,
    label: str,
    lung_slice: LungSlice,
    mask: NDArray[Any],
    checkpoint: Checkpoint,
) -> Lesion | None:
    """A slice and its lesion mask on the network's grid; None where too little lesion is left."""
    config = replace(checkpoint.metadata.preprocessing, fill=Fill.BLACK)
    lung = make_picture(lung_slice.grey, lung_slice.lung_mask, config)[0] > 0
    drawn = marks_on_picture(mask > 0, lung_slice.frame, config.picture_px)
    if (drawn & lung).sum() < LEAST_LESION * lung.sum():
        return None
    return Lesion(site, patient, label, lung_slice.picture, lung, drawn)


def masked_pictures(data: Path, site: str, checkpoint: Checkpoint) -> Iterator[Lesion]:
    """Every slice with a lesion drawn by a radiologist; MosMed's also lie among training ones."""
    with (data / site / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["lesion_mask"]]
    with sharing_a_child():
        for row in rows:
            mask = cv2.imread(str(data / site / row["lesion_mask"]), cv2.IMREAD_GRAYSCALE)
            volume = read_volume(data / site / row["path"])
            found = examine(volume, checkpoint.metadata.preprocessing)
            if not found.kept or mask.shape != found.kept[0].grey.shape:
                continue
            lesion = on_picture(site, row["patient_id"], "covid", found.kept[0], mask, checkpoint)
            if lesion is not None:
                yield lesion


def phantoms(count: int, checkpoint: Checkpoint) -> Iterator[Lesion]:
    for number in range(count):
        label = ("covid", "bacterial")[number % 2]
        made = make_phantom(
            PhantomConfig(label=label, seed=FIRST_SEED + number, shape=(24, 512, 512))
        )
        kept = examine(made.volume, checkpoint.metadata.preprocessing).kept
        with_lesion = [one for one in kept if made.lesion_mask[one.slice_index].any()]
        for one in with_lesion[len(with_lesion) // 4 :: max(len(with_lesion) // 2, 1)]:
            mask = made.lesion_mask[one.slice_index]
            lesion = on_picture("phantoms", f"phantom-{number}", label, one, mask, checkpoint)
            if lesion is not None:
                yield lesion


def some(lesions: Sequence[Lesion], most: int) -> list[Lesion]:
    """Up to `most`, evenly spread."""
    step = max(len(lesions) / most, 1)
    return [lesions[int(number * step)] for number in range(min(most, len(lesions)))]


def heats_of(lesions: Sequence[Lesion], checkpoint: Checkpoint) -> Pictures:
    """(n, side, side): heat for each slice's own label, as a report draws it."""
    network, classes = checkpoint.network.eval(), checkpoint.metadata.classes
    heats = []
    for first in range(0, len(lesions), BATCH):
        some_of_them = lesions[first : first + BATCH]
        pictures = torch.from_numpy(np.stack([one.picture for one in some_of_them])[:, None])
        targets = torch.tensor([classes.index(one.label) for one in some_of_them])
        heats.append(
            heat_of(
                lambda seen=pictures: network(seen), network.cam_layer, targets, pictures.shape[-1]
            )
        )
    return np.concatenate(heats)


def rows_of(lesions: Sequence[Lesion], checkpoint: Checkpoint, *, faithful: int) -> list[Row]:
    """What is measured of each slice."""
    if not lesions:
        return []
    classes = checkpoint.metadata.classes
    engine = TorchEngine(checkpoint, device="cpu", batch=BATCH)
    output = engine.run(np.stack([one.picture for one in lesions]))
    rng = np.random.default_rng(0)
    rows = []
    for number, (one, heat) in enumerate(zip(lesions, heats_of(lesions, checkpoint), strict=True)):
        target = classes.index(one.label)
        drawn_heat = within(heat, one.lung)  # as a report shows it
        row = {
            "pointing": pointing_hit(drawn_heat, one.lesion),
            "pointing_anywhere": pointing_hit(heat, one.lesion),
            "pointing_chance": share_of_lung(one.lesion, one.lung),
            "energy": energy_inside(drawn_heat, one.lesion),
            "heat_in_lung": energy_inside(heat, one.lung),
        }
        ranked = output.boxes[number][np.argsort(-output.detail_probabilities[number, :, target])]
        if len(ranked):
            drawn = [random_boxes(one.lung, ranked, rng) for _ in range(DRAWS)]
            for k in KS:
                row[f"boxes_at_{k}"] = hit_at(ranked, one.lesion, k)
                row[f"random_at_{k}"] = np.mean([hit_at(box, one.lesion, k) for box in drawn])
        if number < faithful:
            ask = lambda pictures, t=target: engine.run(pictures).probabilities[:, t]  # noqa: E731
            found = faithfulness(one.picture, drawn_heat, one.lung, ask)
            random = faithfulness(one.picture, rng.random(heat.shape), one.lung, ask)
            row |= {"deletion": found.deletion, "deletion_random": random.deletion}
            row |= {"insertion": found.insertion, "insertion_random": random.insertion}
        rows.append({name: float(value) for name, value in row.items()})
    return rows


def means(lesions: Sequence[Lesion], rows: Sequence[Row]) -> dict[str, Any]:
    """Over slices; patients say how many people they come from."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
    return {"slices": len(rows), "patients": len({one.patient for one in lesions}), **found}


def measure(
    lesions: Sequence[Lesion], checkpoint: Checkpoint, *, faithful: int, trained: Set[str]
) -> dict[str, Any]:
    """Means over all slices, and over those of patients the network was not trained on."""
    rows = rows_of(lesions, checkpoint, faithful=faithful)
    found = {"all": means(lesions, rows)}
    unseen = [place for place, one in enumerate(lesions) if one.patient not in trained]
    if trained and 0 < len(unseen) < len(rows):
        found["unseen patients"] = means([lesions[n] for n in unseen], [rows[n] for n in unseen])
    return found


def slice_ranking(data: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """AUC of the slices' disease probability against infected or not, inside each patient."""
    engine = TorchEngine(checkpoint, device="cpu", batch=BATCH)
    healthy = checkpoint.metadata.classes.index("healthy")
    with (data / "covid_ct_md" / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] != "healthy"]
    found: dict[str, Any] = {}
    for patient in sorted({row["patient_id"] for row in rows}):
        mine = [row for row in rows if row["patient_id"] == patient]
        pictures, infected = [], []
        with sharing_a_child():
            for row in mine:
                volume = read_volume(data / "covid_ct_md" / row["path"])
                for kept in examine(volume, checkpoint.metadata.preprocessing).kept:
                    pictures.append(kept.picture)
                    infected.append(row["infection_slice"] == "1")
        told = np.array(infected)
        disease = 1 - engine.run(np.stack(pictures)).probabilities[:, healthy]
        pairs = disease[told][:, None] - disease[~told][None, :]
        auc = float(((pairs > 0) + 0.5 * (pairs == 0)).mean()) if pairs.size else None
        found[mine[0]["label"]] = {"slices": len(told), "infected": int(told.sum()), "auc": auc}
    return found


def with_random_weights(checkpoint: Checkpoint, seed: int = 0) -> Checkpoint:
    """The same network as it was before any training."""
    torch.manual_seed(seed)
    metadata = checkpoint.metadata
    network = create_model(metadata.model, len(metadata.classes)).eval()
    network.set_pixel_scale(
        checkpoint.network.pixel_mean.tolist(), checkpoint.network.pixel_std.tolist()
    )
    return Checkpoint(network, metadata, "random weights")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=30, help="slices of each site")
    parser.add_argument("--faithful", type=int, default=6, help="slices of each site, deletion")
    parser.add_argument("--split", type=Path, help="CSV that says who was trained on")
    options = parser.parse_args()
    checkpoint = open_checkpoint(options.checkpoint)
    random = with_random_weights(checkpoint)
    trained: set[str] = set()
    if options.split:
        with options.split.open(encoding="utf-8") as file:
            trained = {r["patient_id"] for r in csv.DictReader(file) if r["split"] == "train"}
    sites = {
        "mosmed": list(masked_pictures(options.data, "mosmed", checkpoint)),
        "medseg": list(masked_pictures(options.data, "medseg", checkpoint)),
        "phantoms": list(phantoms(max(options.most // 2, 2), checkpoint)),
    }
    found: dict[str, Any] = {"checkpoint": checkpoint.sha256, "sites": {}}
    for site, lesions in sites.items():
        chosen = some(lesions, options.most)
        told = measure(chosen, checkpoint, faithful=options.faithful, trained=trained)
        told["random weights"] = means(chosen, rows_of(chosen, random, faithful=0))
        found["sites"][site] = told
        print(site, json.dumps(told, indent=1), flush=True)
    found["slice_ranking"] = {
        "trained": slice_ranking(options.data, checkpoint),
        "random_weights": slice_ranking(options.data, random),
    }
    options.out.write_text(json.dumps(found, indent=2))
    print_table(found)


def print_table(found: dict[str, Any]) -> None:
    columns = [
        "slices", "pointing", "pointing_anywhere", "pointing_chance", "energy", "heat_in_lung",
        *(f"{name}_at_{k}" for k in KS for name in ("boxes", "random")),
        "deletion", "deletion_random", "insertion", "insertion_random",
    ]  # fmt: skip
    print("| | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for site, kinds in found["sites"].items():
        for kind, row in kinds.items():
            cells = [
                "-"
                if row.get(name) is None
                else f"{row[name]:.2f}"
                if name != "slices"
                else str(row[name])
                for name in columns
            ]
            print(f"| {site}, {kind} | " + " | ".join(cells) + " |")
    print("slice ranking:", json.dumps(found["slice_ranking"]))


if __name__ == "__main__":
    main()
