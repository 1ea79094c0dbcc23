"""A process that has everything imported and forks a fresh child for each study to be read.

Starting an interpreter with numpy, pydicom and SimpleITK takes a second; a fork takes some
milliseconds, and no child ever sees what another one read. The template itself opens no file of a
study. It ends when the program that started it does.
"""

import ctypes
import gc
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from deeppneumonia.readers.messages import pack

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
"""linux/sched.h."""


def main(control_descriptor: int) -> None:
    """Fork a child for every connection that comes in over the control socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, which then hangs up
    network = leave_network()
    from deeppneumonia.readers.child import serve  # imports every reader

    _silence()
    gc.collect()
    gc.freeze()  # the collector would touch, and so copy, every page in each child
    control = socket.socket(fileno=control_descriptor)
    with selectors.DefaultSelector() as waiting:
        waiting.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is not control:
                    _say_farewell(waiting, key)
                elif (connection := _accept(control)) is None:
                    return
                elif (pid := os.fork()) == 0:
                    _leave_others(waiting, control)
                    _end_with(lambda served=connection: serve(served))
                else:
                    _introduce(waiting, connection, pid, network)


def leave_network() -> str:
    """Cut this process off the network, as far as the system lets it; returns by what means.

    `namespace`: the kernel gives it a network without any interface. `audit hook`: Python code
    cannot open a socket, libraries written in C could.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # Root in a user namespace of its own could no longer read the files of others.
    own_user = [] if os.geteuid() == 0 else [CLONE_NEWUSER | CLONE_NEWNET]
    for flags in [CLONE_NEWNET, *own_user]:
        if libc.unshare(flags) == 0:
            return "namespace"
    sys.addaudithook(refuse_sockets)
    return "audit hook"


def refuse_sockets(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook (PEP 578) that leaves the sockets between processes alone."""
    if event in ("socket.getaddrinfo", "socket.connect", "socket.bind") or (
        event == "socket.__new__" and arguments[1] not in (-1, socket.AF_UNIX)
    ):
        raise PermissionError("a process that reads studies has no network")


def _silence() -> None:
    """Libraries print what they dislike in a file, which may be a name, past Python's own doors."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _accept(control: socket.socket) -> socket.socket | None:
    """The next connection to serve; None when the program has ended."""
    word, descriptors, _, _ = socket.recv_fds(control, 1, 1)
    return socket.socket(fileno=descriptors[0]) if word else None


def _leave_others(waiting: selectors.BaseSelector, control: socket.socket) -> None:
    """A child keeps its own connection only."""
    for key in list(waiting.get_map().values()):
        if key.fileobj is not control:
            os.close(key.fd)
            key.data[1].close()
    control.close()
    waiting.close()


def _end_with(serve: Any) -> None:
    try:
        serve()
    finally:
        os._exit(0)


def _introduce(
    waiting: selectors.BaseSelector, connection: socket.socket, pid: int, network: str
) -> None:
    """Give the program a handle by which it can stop the child, and wait for the child's end."""
    handle = os.pidfd_open(pid)
    with suppress(OSError):  # the program may have given up on it; the child sees that too
        socket.send_fds(connection, [pack({"network": network})], [handle])
    waiting.register(handle, selectors.EVENT_READ, (pid, connection))


def _say_farewell(waiting: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """Tell the program how a child ended."""
    pid, connection = key.data
    _, status = os.waitpid(pid, 0)
    waiting.unregister(key.fileobj)
    os.close(key.fd)
    with suppress(OSError):  # nobody may listen any more
        connection.send(pack({"ended": os.waitstatus_to_exitcode(status)}))
    connection.close()
