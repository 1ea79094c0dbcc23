"""The split of a training run again, without the run: who trained, who chose, who was only tested.

    python benchmarks/open_split.py --data DATA --out split.csv [--checkpoint default]

Each set is divided by itself (`workflows/prepare.py`), so two sets suffice to find their patients
again. Patients are counted beside what the checkpoint says of its own, set by set where it says so.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

from deeppneumonia.datasets import write_manifest
from deeppneumonia.workflows.prepare import read_divided
from deeppneumonia.workflows.recipes import DataConfig
from deeppneumonia.workflows.releases import open_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sites", nargs="+", default=["song2021", "mosmed"])
    parser.add_argument("--checkpoint", default="default")
    options = parser.parse_args()
    metadata = open_checkpoint(options.checkpoint).metadata
    recipe = metadata.provenance["recipe"]["data"]
    wanted = DataConfig(
        manifests=tuple(f"{site}/manifest.csv" for site in options.sites),
        fractions=tuple(recipe["fractions"]),
        split_seed=recipe["split_seed"],
    )
    manifest = read_divided(wanted, options.data, metadata.classes.labels)
    write_manifest(manifest, options.out, folder=options.data)
    patients = {row.patient_id: (row.site, row.split, row.label) for row in manifest.rows}
    for key, count in sorted(Counter(patients.values()).items()):
        print(*key, count)
    print("the checkpoint's:", json.dumps(metadata.provenance["patients"], sort_keys=True))


if __name__ == "__main__":
    main()
