"""Three Ray nodes, each in a network of its own, one of them killed at work: every study once?

    python benchmarks/ray_nodes.py --archive many/archive --checkpoint many/cheap.safetensors \\
        --out many/ray

Needs root, iproute2 and the extra [ray]. The nodes are network namespaces behind a bridge that
lies in a namespace too, so that nothing touches the network of this machine.
"""

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

SWITCH, NODES = "dp-switch", ("dp-node-1", "dp-node-2", "dp-node-3")
PORT = 6399
HEAD = f"10.77.0.1:{PORT}"
ENVIRONMENT = {
    **os.environ,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ADDRESS": HEAD,
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),  # nodes and driver know one another by it
}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def build_network() -> None:
    """A switch and three nodes, 10.77.0.1 to 10.77.0.3."""
    ip("netns", "add", SWITCH)
    ip("-n", SWITCH, "link", "add", "bridge", "type", "bridge")
    ip("-n", SWITCH, "link", "set", "bridge", "up")
    for number, node in enumerate(NODES, start=1):
        ip("netns", "add", node)
        ip("-n", node, "link", "add", "eth0", "type", "veth", "peer", f"port{number}",
           "netns", SWITCH)  # fmt: skip
        ip("-n", SWITCH, "link", "set", f"port{number}", "master", "bridge", "up")
        ip("-n", node, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
        ip("-n", node, "link", "set", "eth0", "up")
        ip("-n", node, "link", "set", "lo", "up")


def processes_in(node: str) -> list[int]:
    found = subprocess.run(["ip", "netns", "pids", node], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def kill_node(node: str) -> int:
    """kill -9 for every process of a node, as when its power fails; how many there were."""
    pids = processes_in(node)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return len(pids)


def take_down() -> None:
    for node in NODES:
        kill_node(node)
        subprocess.run(["ip", "netns", "del", node])
    subprocess.run(["ip", "netns", "del", SWITCH])


def start_ray() -> None:
    """A head and two more nodes, each with one core to give."""
    ray = str(Path(sys.executable).with_name("ray"))
    common = ["--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats"]
    for number, node in enumerate(NODES, start=1):
        role = ["--head", f"--port={PORT}", "--include-dashboard=false"]
        role = role if number == 1 else [f"--address={HEAD}"]
        command = ["ip", "netns", "exec", node, ray, "start", *role, *common,
                   f"--node-ip-address=10.77.0.{number}"]  # fmt: skip
        subprocess.run(command, check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)


def answered(results: Path) -> int:
    return results.read_bytes().count(b"\n") if results.exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", type=Path, required=True, help="folder of studies")
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--out", type=Path, required=True, help="a folder without results")
    parser.add_argument("--kill-after", type=int, default=100, help="answers")
    given = parser.parse_args()
    results = given.out / "results.jsonl"
    build_network()
    try:
        start_ray()
        began = time.perf_counter()
        running = subprocess.Popen(
            ["ip", "netns", "exec", NODES[0], sys.executable, "-m", "deeppneumonia", "diagnose",
             str(given.archive.absolute()), "--ray-workers", "3", "-c", given.checkpoint,
             "--out", str(given.out), "--device", "cpu"], env=ENVIRONMENT,
        )  # fmt: skip
        while running.poll() is None and answered(results) < given.kill_after:
            time.sleep(0.2)
        before = answered(results)
        killed = kill_node(NODES[2])
        print(f"{before} answers, then kill -9 for the {killed} processes of the third node")
        code = running.wait()
    finally:
        take_down()
    names = {path.name for path in given.archive.iterdir()}
    with results.open() as lines:
        times = Counter(json.loads(line)["study"] for line in lines)
    once = sum(times[name] == 1 for name in names)
    print(f"exit code {code} after {time.perf_counter() - began:.0f} s: of {len(names)} studies "
          f"{once} were answered once, {len(names - times.keys())} never, "
          f"{sum(count > 1 for count in times.values())} more than once")  # fmt: skip


if __name__ == "__main__":
    main()
