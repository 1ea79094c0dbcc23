"""Where memory runs out, the network is asked about fewer pictures at a time; the log says so."""

import subprocess
import sys

import pytest

PROGRAM = """
import logging, os, resource, sys
import numpy as np, torch
logging.basicConfig(stream=sys.stdout, format="%(message)s")
torch.manual_seed(0)
torch.set_num_threads(1)
from pathlib import Path
from deeppneumonia.checkpoint import Checkpoint, CheckpointMetadata
from deeppneumonia.domain import ClassSet
from deeppneumonia.inference import TorchEngine
from deeppneumonia.models import create_model
from deeppneumonia.preprocessing import PreprocessConfig
metadata = CheckpointMetadata(
    model="resnet18", classes=ClassSet(("a", "b")), preprocessing=PreprocessConfig()
)
checkpoint = Checkpoint(create_model("resnet18", 2).eval(), metadata, "0" * 64)
pictures = np.random.default_rng(0).integers(0, 256, (8, 512, 512), np.uint8)
engine = TorchEngine(checkpoint, device="cpu", batch=8)
alone = np.concatenate([engine.run(pictures[k : k + 1]).probabilities for k in range(8)])

def status(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) * 1024

def bytes_for(count):
    # What a process like this one takes for so many pictures at once.
    heard, said = os.pipe()
    if os.fork() == 0:
        before = status("VmSize")
        engine.run(pictures[:count])
        os.write(said, str(status("VmPeak") - before).encode())
        os._exit(0)
    os.wait()
    return int(os.read(heard, 40))

four, eight = bytes_for(4), bytes_for(8)
assert 0 < four < eight, (four, eight)
allowed = {"enough for four": (four + eight) // 2, "enough for none": 4 * 2**20}[sys.argv[1]]
resource.setrlimit(resource.RLIMIT_DATA, (status("VmData") + allowed,) * 2)
try:
    output = engine.run(pictures)
except Exception as error:
    print(type(error).__name__)
else:
    print(engine.batch, bool(np.allclose(output.probabilities, alone, atol=1e-5)))
"""


@pytest.mark.parametrize(
    ("memory", "said"), [("enough for four", "True"), ("enough for none", "NoMemoryError")]
)
def test_too_little_memory_means_fewer_pictures_at_a_time(memory: str, said: str) -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM, memory], capture_output=True, text=True)
    lines = ran.stdout.splitlines()
    assert lines and lines[0] == (
        "not enough memory: the network is asked about 4 pictures at a time"
    ), ran.stderr
    assert lines[-1].endswith(said), lines
    assert said != "True" or int(lines[-1].split()[0]) < 8
