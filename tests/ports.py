"""Ports for programs that must be told one: free when asked for, and given to nobody else while this process lives.

So a server may be dead for a while, and no other test process, which looks for ports at the same time, takes its place.
"""

import contextlib
import os
import random
import socket
from pathlib import Path

#: Below what Linux hands out for outgoing connections and for port 0 (32768 on), so that nobody takes one by chance
#: between the question and its use.
_PORTS = range(20_000, 32_000)
_chance = random.Random(os.getpid())
_LISTEN = "0A"  # state of a listening socket in /proc/net/tcp


def free_ports(number: int) -> list[int]:
    """Ports of 127.0.0.1 that are free now, all different."""
    found: list[int] = []
    for port in _chance.sample(_PORTS, len(_PORTS)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            _reserve(port)
            found.append(port)
        if len(found) == number:
            return found
    raise AssertionError(f"no {number} ports of {_PORTS} are free")


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    return free_ports(1)[0]


def _reserve(port: int) -> None:
    """Raises OSError when the port was given already, here or in another process."""
    with socket.socket(socket.AF_UNIX) as name:
        name.bind(f"\0livereel-test-port-{port}")  # an abstract name (unix(7)): no file, and gone with its last holder
        name.detach()  # this process, to its end


def listening(port: int) -> bool:
    """Whether some program listens at the port of an IPv4 address. Asks the kernel, not the program."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(int(line[1].rpartition(":")[2], 16) == port and line[3] == _LISTEN for line in lines)
