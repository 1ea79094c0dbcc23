"""Do boxes and heat maps lie on lesions, and does a network rank slices as a radiologist did?

    python benchmarks/localisation.py --checkpoint default --data DATA --out localisation.json

MosMed and MedSeg masks, phantoms of unseen seeds, infection labels of COVID-CT-MD. Everything is
measured a second time with random weights in the same network, and against chance: boxes of the
same sizes with their middles drawn from the lung, points drawn from the lung.
"""

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
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
from deeppneumonia.explanation import grad_cam
from deeppneumonia.explanation.faithfulness import faithfulness
from deeppneumonia.inference import TorchEngine
from deeppneumonia.models import create_model
from deeppneumonia.phantoms import PhantomConfig, make_phantom
from deeppneumonia.preprocessing import Fill, examine
from deeppneumonia.preprocessing.picture import make_picture
from deeppneumonia.readers import read_volume
from deeppneumonia.workflows.key_slices import log_odds, within
from deeppneumonia.workflows.releases import open_checkpoint

LEAST_LESION = 0.005
"""Share of the lung; smaller lesions are a handful of pixels in the network's picture."""

FIRST_SEED = 800_000
DRAWS = 200
KS = (1, 3, 6)


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
    frame = lung_slice.frame
    to_picture = np.array(
        [[1 / frame.x_scale, 0, (0.5 - frame.x_offset) / frame.x_scale - 0.5],
         [0, 1 / frame.y_scale, (0.5 - frame.y_offset) / frame.y_scale - 0.5]]
    )  # fmt: skip
    size = (config.picture_px, config.picture_px)
    drawn = cv2.warpAffine((mask > 0).astype(np.uint8) * 255, to_picture, size) > 127
    if (drawn & lung).sum() < LEAST_LESION * lung.sum():
        return None
    return Lesion(site, patient, label, lung_slice.picture, lung, drawn)


def masked_pictures(data: Path, site: str, checkpoint: Checkpoint) -> Iterator[Lesion]:
    """Every slice with a lesion drawn by a radiologist; MosMed's also lie among training ones."""
    with (data / site / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["lesion_mask"]]
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


def measure(lesions: Sequence[Lesion], checkpoint: Checkpoint, *, faithful: int) -> dict[str, Any]:
    """Means over the slices of one site."""
    classes = checkpoint.metadata.classes
    network, engine = checkpoint.network.eval(), TorchEngine(checkpoint, device="cpu")
    rng = np.random.default_rng(0)
    rows: list[dict[str, float]] = []
    for number, one in enumerate(lesions):
        target = classes.index(one.label)
        tensor = torch.from_numpy(one.picture[None, None])
        heat = grad_cam(
            network,
            network.cam_layer,
            tensor,
            torch.tensor([target]),
            logits_of=lambda answer: log_odds(answer.logits),
        )[0]
        output = engine.run(one.picture[None])
        ranked = output.boxes[0][np.argsort(-output.detail_probabilities[0, :, target])]
        drawn_heat = within(heat, one.lung)  # as a report shows it
        row = {
            "pointing": pointing_hit(drawn_heat, one.lesion),
            "pointing_anywhere": pointing_hit(heat, one.lesion),
            "pointing_chance": share_of_lung(one.lesion, one.lung),
            "energy": energy_inside(drawn_heat, one.lesion),
            "heat_in_lung": energy_inside(heat, one.lung),
        }
        for k in KS if len(ranked) else ():
            drawn = [
                hit_at(random_boxes(one.lung, ranked, rng), one.lesion, k) for _ in range(DRAWS)
            ]
            row |= {
                f"boxes_at_{k}": hit_at(ranked, one.lesion, k),
                f"random_at_{k}": np.mean(drawn),
            }
        if number < faithful:
            ask = lambda pictures, t=target: engine.run(pictures).probabilities[:, t]  # noqa: E731
            noise = rng.random(heat.shape)
            found = faithfulness(one.picture, drawn_heat, one.lung, ask)
            random = faithfulness(one.picture, noise, one.lung, ask)
            row |= {"deletion": found.deletion, "deletion_random": random.deletion}
            row |= {"insertion": found.insertion, "insertion_random": random.insertion}
        rows.append({name: float(value) for name, value in row.items()})
    names = dict.fromkeys(name for row in rows for name in row)
    means = {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
    patients = len({one.patient for one in lesions})
    return {"slices": len(lesions), "patients": patients, **means}


def slice_ranking(data: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """AUC of the slices' disease probability against infected or not, inside each patient."""
    engine = TorchEngine(checkpoint, device="cpu")
    with (data / "covid_ct_md" / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] != "healthy"]
    found: dict[str, Any] = {}
    for patient in sorted({row["patient_id"] for row in rows}):
        mine = [row for row in rows if row["patient_id"] == patient]
        infected, disease = [], []
        for row in mine:
            volume = read_volume(data / "covid_ct_md" / row["path"])
            kept = examine(volume, checkpoint.metadata.preprocessing).kept
            if not kept:
                continue
            probabilities = engine.run(kept[0].picture[None]).probabilities[0]
            healthy = checkpoint.metadata.classes.index("healthy")
            disease.append(1 - float(probabilities[healthy]))
            infected.append(row["infection_slice"] == "1")
        told, place = np.array(infected), np.array(disease)
        pairs = place[told][:, None] - place[~told][None, :]
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
    parser.add_argument("--most", type=int, default=40, help="slices of each site")
    parser.add_argument("--faithful", type=int, default=8, help="slices of each site, deletion")
    options = parser.parse_args()
    checkpoint = open_checkpoint(options.checkpoint)
    random = with_random_weights(checkpoint)
    sites = {
        "mosmed": list(masked_pictures(options.data, "mosmed", checkpoint)),
        "medseg": list(masked_pictures(options.data, "medseg", checkpoint)),
        "phantoms": list(phantoms(max(options.most // 2, 2), checkpoint)),
    }
    found: dict[str, Any] = {"checkpoint": checkpoint.sha256, "sites": {}}
    for site, lesions in sites.items():
        chosen = some(lesions, options.most)
        found["sites"][site] = {
            "trained": measure(chosen, checkpoint, faithful=options.faithful),
            "random_weights": measure(chosen, random, faithful=0),
        }
        print(site, json.dumps(found["sites"][site], indent=1), flush=True)
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
    for site, weights in found["sites"].items():
        for kind, row in weights.items():
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
