"""Many processes: who stops them, and what is said when one is gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deeppneumonia.datasets.parallel import WorkerKilledError, over_processes


def test_the_processes_of_a_pool_leave_ctrl_c_to_the_one_that_started_them(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import signal, sys, time\n"
        # Whatever starts the tests in the background may have had Ctrl-C ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from deeppneumonia.datasets.parallel import over_processes\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        for _ in over_processes(time.sleep, [0.01] * 2 + [1.0] * 40, 2):\n"
        "            print('at work', flush=True)\n"
        "    except KeyboardInterrupt:\n"
        "        sys.exit(130)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as ran:  # fmt: skip
        assert ran.stdout is not None
        assert ran.stdout.readline() == "at work\n"
        os.killpg(ran.pid, signal.SIGINT)  # as a terminal does
        _, said = ran.communicate(timeout=120)
    assert (ran.returncode, said) == (130, "")


def test_a_process_that_the_system_kills_is_told_of_in_one_line() -> None:
    with pytest.raises(WorkerKilledError, match="was killed, as systems do where memory is short"):
        list(over_processes(os._exit, [1, 1, 1, 1], 2))
