"""Where the processor time of one study goes, function by function: read, lungs, network.

    python benchmarks/profile_study.py > benchmarks/results/profile.txt

In one process and one thread, without the reading child, so that nothing hides in waiting. Times
are of the profiler and some tenths too long; what counts is their order.
"""

import cProfile
import io
import os
import pstats
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ["DEEPPNEUMONIA_LIMITS"] = "isolated=0"  # before the reader is asked

from one_study import OURS, engines
from speed_studies import make_studies

from deeppneumonia.inference.engine_files import Precision
from deeppneumonia.preprocessing import check_input, examine, text_flags
from deeppneumonia.readers import read_volume

FUNCTIONS = 14


def main() -> None:
    study = make_studies(Path(tempfile.gettempdir()) / "deeppneumonia-speed", 300)["JPEG Lossless"]
    diagnoser = engines("default", study, [Precision.FLOAT32])[OURS]
    config = diagnoser.metadata.preprocessing
    volume = read_volume(study)
    found = examine(volume, config)

    def lungs() -> None:
        check_input(volume, found)
        text_flags(volume.unit, found)
        for index in range(10, 300, 20):
            examine_one(index)

    def examine_one(index: int) -> None:
        from deeppneumonia.preprocessing.examination import _examine_slice

        _examine_slice(index, volume.slice(index), volume, config)

    show("read: 300 headers, sorted and checked", lambda: read_volume(study))
    show("lungs: 15 slices decoded, examined and checked", lungs)
    show("network: 15 pictures", lambda: diagnoser._predictor.predict(found.kept))


def show(name: str, work: Callable[[], object]) -> None:
    work()
    profile = cProfile.Profile()
    profile.runcall(work)
    text = io.StringIO()
    pstats.Stats(profile, stream=text).strip_dirs().sort_stats("tottime").print_stats(FUNCTIONS)
    lines = [line for line in text.getvalue().splitlines() if line.strip()]
    print(f"\n{name}\n" + "\n".join(lines[0:1] + lines[3:]))


if __name__ == "__main__":
    main()
