"""A server for fault tests: fixed ports, templates and callbacks by signed requests, and a look into its catalogue."""

import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from livereel.testing.api_client import ApiClient, Reply
from tests.acceptance.api import ALL_FORMATS, BUCKET, DOMAIN
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import LiveServer, wait_until
from tests.faults.pulse import late
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
EVENTS = ["RECORD_START", "RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE", "RECORD_OVER", "RECORD_FAILED"]
KEY = "0123456789abcdef0123456789ABCDEF"
#: Seconds for whatever has to come about. Not how long it takes: two busy cores.
PATIENCE = 60.0
#: How requests end when the server dies under them.
BROKEN = (OSError, http.client.HTTPException)


class Instance(LiveServer):
    """A server that can be told at which step to die (see `mortal`)."""

    def __init__(self, directory: Path, receiver: Receiver, **environment: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        fixed = {"LIVEREEL_RTMP__PORT": str(free_port()), "LIVEREEL_API__PORT": str(free_port())}
        ours = {
            "LIVEREEL_RECORDER__WORKERS": "1",
            "LIVEREEL_API__RATE_LIMITS": "false",
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        }
        super().__init__(directory, **(fixed | ours | environment))
        self.fate = directory / "fate"
        self.command = (sys.executable, "-m", "tests.faults.mortal", self.fate, "serve")
        self.port = int(fixed["LIVEREEL_RTMP__PORT"])
        self.receiver = receiver
        #: When the process was killed (monotonic time), and how late it was then; see `pulse`.
        self.deaths: list[float] = []
        self.late: dict[float, float] = {}
        self._logs_checked = 0

    # -- life

    def set_up(self) -> "Instance":
        """Start for the first time; the receiver is told of every recording."""
        self.start()
        body = {
            "publish_domain": DOMAIN,
            "app": "*",
            "notify_callback_url": self.receiver.url,
            "notify_event_subscription": EVENTS,
            "key": KEY,
        }
        self.api().live("POST", "record/callbacks", body=body)
        return self

    def die_at_step(self, number: int) -> None:
        """Let the process, or the next one, die at that step from now on."""
        working = self.fate.with_suffix(".new")
        working.write_text(str(number))
        working.replace(self.fate)

    def strike(self) -> None:
        """SIGKILL, now."""
        assert self._process is not None
        self._process.kill()
        assert self.buried(), "a process survived SIGKILL"

    def buried(self, timeout: float = PATIENCE) -> bool:
        """Wait for the end of the process; False if it lives on."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
            died = time.monotonic()
            self.late[died] = late(self.directory / "pulse", died)
            self.deaths.append(died)
            self._process = None
            self.fate.unlink(missing_ok=True)
            return True
        return False

    def send(self, number: signal.Signals) -> None:
        """A signal to the server process."""
        assert self._process is not None
        self._process.send_signal(number)

    def exit_status(self, timeout: float = 2 * PATIENCE) -> int:
        """Wait for the end of the process."""
        assert self._process is not None
        status = self._process.wait(timeout)
        self._process = None
        return status

    @property
    def alive(self) -> bool:
        process = self._process  # another thread may be burying it
        return process is not None and process.poll() is None

    def processes(self) -> dict[int, str]:
        """All processes on this data directory, by id: what runs in them."""
        mark = f"LIVEREEL_DATA_DIR={self.data_dir}\0".encode()
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (process / "environ").read_bytes():
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if command:  # a zombie has none, and is nobody's any more
                        found[int(process.name)] = command
        return found

    def kill_workers(self) -> list[int]:
        """SIGKILL to all recorder workers; their ids."""
        workers = self.workers()
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        return workers

    def clean_up(self) -> None:
        """End everything that is left of it."""
        self.kill()
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    # -- commands

    def api(self) -> ApiClient:
        assert self.credentials is not None
        return ApiClient(self.endpoint, *self.credentials, timeout=PATIENCE)

    def template(
        self, stream: str, *, kind: str = "COMMAND_RECORD", merge: int = 0, cycle: int = 3600, bucket: str = BUCKET,
        formats: tuple[str, ...] = ALL_FORMATS,
    ) -> None:  # fmt: skip
        """A template for one stream, in all formats."""
        common = {"record_cycle": cycle, "record_max_duration_to_merge_file": merge}
        config = {
            "record_format": list(formats),
            "obs_addr": {"bucket": bucket, "location": "cn-north-4", "object": f"{stream}/"},
            **{f"{name.lower()}_config": common | ({"record_slice_duration": 2} if name == "HLS" else {})
               for name in formats},
        }  # fmt: skip
        body = {"publish_domain": DOMAIN, "app": "live", "stream": stream, "record_type": kind}
        self.api().live("POST", "record/rules", body=body | {"default_record_config": config})

    def control(self, action: str, stream: str, **extension: Any) -> Reply:
        """START or STOP, whatever the answer. Raises what a dying server makes of a request (BROKEN)."""
        body = {"publish_domain": DOMAIN, "app": "live", "stream": stream}
        if extension:
            body["livereel"] = extension  # type: ignore[assignment]
        api = self.api()
        return api.request("POST", f"/v1/{api.project_id}/record/control", {"action": action}, body)

    def start_when_live(self, stream: str) -> None:
        """START, as soon as the stream is there."""
        wait_until(lambda: self.control("START", stream).status == 200, PATIENCE, f"START of {stream}")

    # -- what it knows

    def query(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of the catalogue."""
        with closing(sqlite3.connect(f"file:{self.data_dir / 'catalogue.db'}?mode=ro", uri=True, timeout=30)) as found:
            found.row_factory = sqlite3.Row
            return [dict(row) for row in found.execute(sql, values)]

    def tasks(self, stream: str) -> list[dict[str, Any]]:
        return self.query("SELECT * FROM tasks WHERE stream = ? ORDER BY started_at, id", stream)

    def files(self, task_id: str) -> list[dict[str, Any]]:
        return self.query("SELECT * FROM files WHERE task_id = ? ORDER BY format, sequence", task_id)

    def path(self, file: dict[str, Any]) -> Path:
        """Where a file of the local store is."""
        return self.data_dir / "store" / str(file["bucket"]) / str(file["object_key"])

    def wait_for_state(self, stream: str, *states: str) -> dict[str, Any]:
        """The newest task of a stream, once it is in one of `states`."""

        def there() -> dict[str, Any] | None:
            tasks = self.tasks(stream)
            return tasks[-1] if tasks and tasks[-1]["state"] in states else None

        return dict(wait_until(there, PATIENCE, f"{stream} to be {' or '.join(states)}"))

    def unfinished(self, streams: list[str]) -> list[str]:
        """What is still to be done for some streams: tasks, files, messages."""
        names = json.dumps(streams)
        tasks = self.query(
            "SELECT id, stream, state FROM tasks WHERE state NOT IN ('completed', 'failed')"
            " AND stream IN (SELECT value FROM json_each(?))",
            names,
        )
        files = self.query(
            "SELECT job_id, stream, state FROM files WHERE state NOT IN ('stored', 'failed')"
            " AND stream IN (SELECT value FROM json_each(?))",
            names,
        )
        messages = self.query("SELECT id, event, state, last_error FROM outbox WHERE state = 'pending'")
        return [str(row) for row in tasks + files + messages]

    def check_logs(self) -> None:
        """No exception that nobody expected, in any life since the last look."""
        for life in range(self._logs_checked + 1, self._starts + 1):
            text = (self.directory / f"log.{life}").read_text(errors="replace")
            assert "Traceback (most recent call last)" not in text and '"exception"' not in text, (
                f"log.{life}: {text[text.find('xception') - 200 :][:6000]}"
            )
        self._logs_checked = self._starts - 1 if self.alive else self._starts
