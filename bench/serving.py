"""A fresh `livereel serve` for a bench, and what its processes cost."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from livereel.testing.api_client import ApiClient

_TICKS = os.sysconf("SC_CLK_TCK")
_SAID = {
    "rtmp": r"rtmp://[^:]+:(\d+)/",
    "api": r"API at\s+(\S+)",
    "access": r"AK\s+(\S+)",
    "secret": r"SK\s+(\S+)",
    "project": r"project\s+(\S+)",
}


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs; `api` is where its HTTP API is."""

    pid: int
    rtmp_port: int
    api: str
    client: ApiClient

    def cpu_seconds(self) -> float:
        """User and system time of the server process, without its workers."""
        return cpu_seconds(self.pid)

    def workers(self, module: str) -> list[int]:
        """Process ids of its workers that run `module`."""
        found = []
        for pid in map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:  # it has just ended
                continue
            if module.encode() in command:
                found.append(pid)
        return found


@contextmanager
def serve(directory: Path, settings: Mapping[str, str] | None = None) -> Iterator[Served]:
    """A server on free ports, with its data in `directory`. `settings` are further environment variables.

    Quotas are off: they are a tenth of what benches ask.
    """
    environment = (
        {"LIVEREEL_LOG__LEVEL": "warning"}
        | os.environ
        | {
            "LIVEREEL_DATA_DIR": str(directory),
            "LIVEREEL_RTMP__PORT": "0",
            "LIVEREEL_API__PORT": "0",
            "LIVEREEL_API__RATE_LIMITS": "false",
            "LIVEREEL_STOP_GRACE": "0",
        }
    )
    command = [sys.executable, "-m", "livereel", "serve"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment | dict(settings or {})
    ) as process:
        assert process.stdout is not None
        said = ""
        while "Another one" not in said and (line := process.stdout.readline()):
            said += line
        threading.Thread(target=process.stdout.read, daemon=True).start()
        try:
            found = {name: re.search(pattern, said) for name, pattern in _SAID.items()}
            value = {name: match[1] for name, match in found.items() if match}
            client = ApiClient(value["api"], value["access"], value["secret"], value["project"])
            yield Served(process.pid, int(value["rtmp"]), value["api"], client)
        finally:
            process.send_signal(signal.SIGTERM)


def cpu_seconds(*pids: int) -> float:
    """User and system time of these processes; 0 of one that has ended."""
    spent = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        spent += int(fields[11]) + int(fields[12])
    return spent / _TICKS
