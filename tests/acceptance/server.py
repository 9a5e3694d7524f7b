"""A real `livereel serve` process in a directory of its own: started, asked, stopped, killed."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.acceptance.api import BUCKET, DOMAIN, Bare, Credentials, Sdk

LIVEREEL = Path(sys.executable).with_name("livereel")
START_TIMEOUT = 120.0  # seconds; a cold first start takes a few, and one on a very busy machine a minute
PATIENCE = 120.0  # seconds for what workers do, which leave the processor to all others
STOP_TIMEOUT = 120.0  # seconds; the grace is 20, or what the test says

# What `livereel serve` prints when it is up.
_PORTS = re.compile(r"rtmp://[^\s/]+:(?P<rtmp>\d+)/.*?(?P<api>http://\S+:\d+)", re.DOTALL)
# How it shows the key of the first start.
_FIRST_KEY = re.compile(r"^ *AK +(?P<access>\S+)\n *SK +(?P<secret>\S+)\n *project +(?P<project>[0-9a-f]{32})\b", re.M)


def parse_access_key(printed: str) -> Credentials:
    """The access key that the first start prints once on standard output."""
    found = _FIRST_KEY.search(printed)
    assert found, f"no access key in what the first start printed:\n{printed}"
    return Credentials(found["access"], found["secret"], found["project"])


def wait_until(condition: Any, timeout: float, what: str) -> Any:
    """The first true value of `condition()`."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {timeout:.0f} s in vain for {what}"
        time.sleep(0.1)
    return value


def manifest_beside(path: Path) -> dict[str, Any]:
    """The recording.json beside a record file; it is written after all files of the task."""
    found = path.with_name("recording.json")
    wait_until(found.is_file, PATIENCE, str(found))
    return dict(json.loads(found.read_text()))


class LiveServer:
    """One server process after another on the same data directory."""

    #: What is run.
    command: tuple[str | Path, ...] = (LIVEREEL, "serve")

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.bucket = self.data_dir / "store" / BUCKET
        self.rtmp_port = 0  # known once it runs, like the endpoint
        self.endpoint = ""
        self.credentials: Credentials | None = None
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    # -- life of the process

    def start(self) -> "LiveServer":
        """Start the process and wait until it is ready; the first start makes the domain that tests push to."""
        self.launch()
        self.wait_ready()
        return self

    def launch(self) -> None:
        """Start the process."""
        assert self._process is None
        self._starts += 1
        self.stdout, self.log = (self.directory / f"{name}.{self._starts}" for name in ("stdout", "log"))
        ours = {
            "LIVEREEL_DATA_DIR": str(self.data_dir),
            "LIVEREEL_NODE": "acceptance",
            "LIVEREEL_RTMP__HOST": "127.0.0.1",
            "LIVEREEL_RTMP__PORT": "0",
            "LIVEREEL_API__HOST": "127.0.0.1",
            "LIVEREEL_API__PORT": "0",
            "LIVEREEL_CALLBACKS__ALLOW_PRIVATE": "127.0.0.0/8",
            "LIVEREEL_DISK__HIGH_WATER": "1.0",  # how full the machine's disk is is not what tests are about
            "LIVEREEL_LOG__FORMAT": "json",
            "LIVEREEL_LOG__LEVEL": "debug",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("LIVEREEL_")}
        with self.stdout.open("wb") as stdout, self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=inherited | ours | self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=log,
            )

    def wait_ready(self) -> None:
        """Wait until the launched process is ready; the first one makes the domain."""
        wait_until(self._ready, START_TIMEOUT, "/readyz")
        if self.credentials is None:
            self.credentials = parse_access_key(self.stdout.read_text())
            self.sdk().create_domain(DOMAIN)

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the server ended with {self._process.returncode}:\n{self.log_text()}"
        ports = _PORTS.search(self.stdout.read_text())
        if ports is None:
            return False
        self.rtmp_port, self.endpoint = int(ports["rtmp"]), ports["api"]
        try:
            with urllib.request.urlopen(f"{self.endpoint}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """SIGTERM; the process must end in order and leave a clean log."""
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {timeout} s after SIGTERM:\n{self.log_text()[-4000:]}") from None
        self._process = None
        assert code == 0, f"exit status {code}:\n{self.log_text()[-4000:]}"
        self.check_log()

    def terminate(self) -> None:
        """SIGTERM, without waiting for what comes of it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: what a crash or a power cut looks like to the next start."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def state(self) -> str:
        """For people who read a failed test."""
        if self._process is None:
            return "stopped"
        code = self._process.poll()
        return "running" if code is None else f"ended by itself with {code}"

    def workers(self, module: str = "livereel.recorder.worker") -> list[int]:
        """Process ids of the recorder workers, or others, of this server, those of a dead one included."""
        found = []
        mark = f"LIVEREEL_DATA_DIR={self.data_dir}\0".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes()
                if module.encode() in command.split(b"\0") and mark in (process / "environ").read_bytes():
                    found.append(int(process.name))
        return found

    # -- how far it is

    def received(self) -> int:
        """Bytes that this process has read from publishing sockets."""
        with urllib.request.urlopen(f"{self.endpoint}/metrics", timeout=60) as answer:
            found = re.search(r"^livereel_ingest_bytes_total (\S+)$", answer.read().decode(), re.M)
        assert found
        return int(float(found[1]))

    def spooled(self) -> dict[str, int]:
        """Bytes in the spool of each task, by its directory. They outlive the process."""
        found: dict[str, int] = {}
        for segment in (self.data_dir / "spool").glob("*/*.flv"):
            with contextlib.suppress(FileNotFoundError):
                found[segment.parent.name] = found.get(segment.parent.name, 0) + segment.stat().st_size
        return found

    # -- what it said

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def events(self) -> Iterator[dict[str, Any]]:
        """The lines of its log."""
        for line in self.log_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(line)

    def check_log(self) -> None:
        """No exception that nobody expected, no file that is not what was received, and no secret key."""
        text = self.log_text()
        assert "Traceback (most recent call last)" not in text, text[-6000:]
        caught = [event for event in self.events() if "exception" in event]
        assert not caught, json.dumps(caught[0], indent=1)[:6000]
        assert self.credentials is None or self.credentials.secret not in text
        assert not [event for event in self.events() if event.get("event") == "file_damaged"]  # and made again
        damaged = [event for event in self.events() if event.get("event") == "file_is_damaged"]
        # What does not decode was sent so.
        wrong = [event for event in damaged if {one["reason"] for one in event.get("damages", [])} - {"undecodable"}]
        assert not wrong, json.dumps(wrong, indent=1)[:6000]

    # -- how it is reached

    def sdk(self) -> Sdk:
        """The official SDK as the key of the first start."""
        assert self.credentials is not None
        return Sdk(self.endpoint, self.credentials)

    def bare(self, credentials: Credentials | None = None) -> Bare:
        return Bare(self.endpoint, credentials or self.credentials)

    def push_url(self, stream: str, *, app: str = "live", domain: str = DOMAIN) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/{app}/{stream}?vhost={domain}"

    def cli(self, *arguments: str, stdin: str = "", code: int = 0) -> str:
        """Run another livereel command on the same data, which has to end with `code`; its standard output."""
        done = subprocess.run(
            [LIVEREEL, *arguments],
            cwd=self.directory,
            env=os.environ | {"LIVEREEL_DATA_DIR": str(self.data_dir), "LIVEREEL_NODE": "acceptance"},
            input=stdin.encode(),
            capture_output=True,
            check=False,
            timeout=200,  # seconds; a command takes six on a busy machine
        )
        output = done.stdout.decode()
        assert done.returncode == code, f"livereel {' '.join(arguments)}: {done.stderr.decode()}{output}"
        return output
