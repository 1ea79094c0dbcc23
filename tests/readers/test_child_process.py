"""What reads a study is a process of its own: bounded, without network, gone when it is done."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ramp_ct import chest, save

from deeppneumonia.errors import ConfigError, StudyError
from deeppneumonia.readers import (
    GantryTiltError,
    UnsafeInputError,
    messages,
    read_study,
    read_volume,
    sharing_a_child,
    study,
)
from deeppneumonia.readers.children import MAX_CHILDREN
from deeppneumonia.readers.limits import VARIABLE, limits_from
from deeppneumonia.readers.messages import ChangedStudyError
from deeppneumonia.readers.process import start_template


def children() -> list[int]:
    """Processes that the template of this process has forked."""
    template = start_template()._process.pid
    listed = Path(f"/proc/{template}/task/{template}/children").read_text()
    return [int(pid) for pid in listed.split()]


def gone_within(seconds: float, is_there) -> bool:
    end = time.monotonic() + seconds
    while is_there() and time.monotonic() < end:
        time.sleep(0.02)
    return not is_there()


def test_a_child_gives_the_numbers_that_reading_here_gives(folder):
    there, here = read_volume(folder), study.read_volume(folder)
    np.testing.assert_array_equal(there.array, here.array)
    assert there.array.dtype == here.array.dtype
    np.testing.assert_array_equal(there.affine, here.affine)
    assert (there.series, there.study, there.flags) == (here.series, here.study, here.flags)
    assert read_study(folder) == study.read_study(folder)


def test_the_child_of_a_volume_ends_with_it(folder):
    before = set(children())
    volume = read_volume(folder)
    (child,) = set(children()) - before
    del volume
    assert gone_within(5, lambda: child in children())


def test_many_volumes_at_once_take_turns_with_few_children(folder):
    before = set(children())  # a child that earlier tests shared stays alive by design
    volumes = [read_volume(folder) for _ in range(MAX_CHILDREN + 2)]
    assert gone_within(5, lambda: len(set(children()) - before) > MAX_CHILDREN)
    for volume in volumes:
        np.testing.assert_array_equal(volume.slice(0), volumes[-1].slice(0))


def test_a_crash_is_a_refusal_and_the_next_slice_comes_from_a_new_child(folder):
    before = set(children())
    volume = read_volume(folder)
    expected = study.read_volume(folder).slice(3)
    (child,) = set(children()) - before
    os.kill(child, signal.SIGSEGV)
    with pytest.raises(UnsafeInputError, match=r"crashed .*SIGSEGV"):
        volume.slice(3)
    np.testing.assert_array_equal(volume.slice(3), expected)


def test_too_much_memory_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "memory_bytes=1e6 memory_ratio=0")
    slices = chest(3)
    for dataset in slices:
        dataset.add_new(0x00290010, "OB", bytes(1000))
        dataset.Rows = dataset.Columns = 2000
        dataset.PixelData = bytes(2 * 2000 * 2000)
    with pytest.raises(UnsafeInputError, match=r"more memory than is allowed \(1 MB\)"):
        read_volume(save(slices, tmp_path / "ct")).slice(0)


def test_too_much_processor_time_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "seconds=1 bytes_per_second=1e12")
    save(chest(1), tmp_path)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    at = content.index(b"\xe0\x7f\x10\x00")
    sequence = b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff"
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 1_000_000
    file.write_bytes(content[:at] + sequence + items + content[at:])
    start = time.monotonic()
    with pytest.raises(UnsafeInputError, match="more than 1 s of processor time"):
        read_volume(file)
    assert time.monotonic() - start < 20  # however busy the machine is


def test_limits_are_changed_by_name_only():
    assert limits_from("seconds=9,memory_bytes=2e9").memory_bytes == 2_000_000_000
    for words in ("second=9", "seconds", "seconds=long"):
        with pytest.raises(ConfigError, match="the names are files, file_bytes"):
            limits_from(words)


def test_a_study_that_changes_while_it_is_read_is_refused(folder):
    volume = read_volume(folder)
    file = volume.series.files[5]
    time.sleep(0.01)
    file.write_bytes(file.read_bytes())
    volume.slice(4)
    with pytest.raises(ChangedStudyError, match="changed while it was being read"):
        volume.slice(5)


def test_a_volume_whose_child_is_gone_is_not_read_from_other_files(folder):
    before = set(children())
    volume = read_volume(folder)
    (child,) = set(children()) - before
    os.kill(child, signal.SIGKILL)
    with pytest.raises(UnsafeInputError, match="no memory left"):
        volume.slice(0)
    next(folder.iterdir()).unlink()
    with pytest.raises(StudyError):
        volume.slice(0)


def test_a_program_that_is_killed_leaves_no_unpacked_patient_behind(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    place = tmp_path / "tmp"
    place.mkdir()
    program = (
        "import sys, time\nfrom deeppneumonia.readers import read_volume\n"
        "volume = read_volume(sys.argv[1]); print(len(volume), flush=True); time.sleep(60)"
    )
    ran = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "ct.zip")],
        env={**os.environ, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert ran.stdout is not None and ran.stdout.readline() == "12\n"
    assert list(place.iterdir())
    ran.kill()
    ran.wait()
    assert gone_within(10, lambda: list(place.iterdir()))


def test_a_forked_program_reads_on(folder):
    volume = read_volume(folder)
    expected = volume.slice(2)
    pid = os.fork()
    if pid == 0:
        same = False
        try:
            same = np.array_equal(volume.slice(2), expected)
        finally:
            os._exit(0 if same else 1)
    assert os.waitpid(pid, 0)[1] == 0
    np.testing.assert_array_equal(volume.slice(2), expected)


def test_a_volume_can_be_sent_to_another_process(folder):
    volume = read_volume(folder)
    copy = pickle.loads(pickle.dumps(volume))
    np.testing.assert_array_equal(copy.slice(1), volume.slice(1))


def test_reads_that_share_a_child_do_not_mix(folder, tmp_path):
    other = save(chest(5), tmp_path / "other")
    with sharing_a_child():
        first = read_volume(folder)
        second = read_volume(other)
        assert (len(first.array), len(second.array)) == (12, 5)
        np.testing.assert_array_equal(first.array, study.read_volume(folder).array)


@pytest.mark.parametrize("means", ["whatever this system allows", "audit hook"])
def test_there_is_no_network(means):
    program = (
        "import socket, sys\nfrom deeppneumonia.readers import template\n"
        "if sys.argv[2] == 'audit hook': sys.addaudithook(template.refuse_sockets)\n"
        "else: template.leave_network()\n"
        "try: socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)\n"
        "except OSError: print('no network')"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ran = subprocess.run(
            [sys.executable, "-c", program, str(port), means], capture_output=True, text=True
        )
    assert ran.stdout == "no network\n", ran.stderr


def test_secrets_of_the_environment_do_not_reach_what_reads():
    program = (
        "from deeppneumonia.readers import process\n"
        "template = process.start_template()\nprocess.ChildProcess()\n"
        "print(open(f'/proc/{template._process.pid}/environ').read())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "DATABASE_PASSWORD": "hunter2"},
        capture_output=True,
        text=True,
    )
    assert "PATH=" in ran.stdout and "hunter2" not in ran.stdout


def test_a_study_may_be_named_by_way_of_the_folder_above(folder, monkeypatch):
    (folder.parent / "work").mkdir()
    monkeypatch.chdir(folder.parent / "work")
    wanted = study.read_volume(folder)
    for named in (Path("../ct"), folder / ".." / "ct"):
        volume = read_volume(named)
        np.testing.assert_array_equal(volume.array, wanted.array)
        assert volume.series.uid == wanted.series.uid
        assert read_study(named).series


def test_a_refusal_keeps_its_class_and_its_numbers():
    heard = messages.error_heard(messages.error_said(GantryTiltError(tilt_deg=12.0)))
    assert type(heard) is GantryTiltError and heard.tilt_deg == 12.0
    assert str(heard) == str(GantryTiltError(tilt_deg=12.0))


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said["series"].update(files=["/etc/passwd"]),
        lambda said: said["series"].update(files=[f"{tempfile.gettempdir()}/../etc/passwd"]),
        lambda said: said["series"].update(files=[f"{said['series']['files'][0]}/../../../x"]),
        lambda said: said.update(affine=[[0]]),
        lambda said: said.update(unit="mm"),
        lambda said: said.pop("study"),
        lambda said: said.update(flags=[{"kind": 1}]),
    ],
    ids=["path", "dots", "dots inside", "affine", "unit", "study", "flags"],
)
def test_what_a_child_says_is_checked(folder, change):
    volume = study.read_volume(folder)
    said = messages.unpack(messages.pack(messages.volume_said(volume)))
    assert messages.volume_heard(said, volume.pixels, (folder,)).series == volume.series
    change(said)
    with pytest.raises(UnsafeInputError, match="makes no sense"):
        messages.volume_heard(said, volume.pixels, (folder,))
