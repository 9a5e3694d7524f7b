"""`livereel demo`: a whole recording on command, from an empty directory to files, against a real server process.

The server is an ordinary `livereel serve` with settings of its own; everything is done to it from outside, over RTMP
and signed HTTP, as an encoder and an application would.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from livereel.cli.shell import bytes_text, cell, fail

if TYPE_CHECKING:
    from rich.console import Console

    from livereel.testing.api_client import ApiClient

T = TypeVar("T")

DIRECTORY = Path("livereel-demo")
MARK = "# Made by `livereel demo`, which deletes this directory and makes it anew each time."
BUCKET, APP, STREAM = "recordings", "live", "demo"
RECORD_SECONDS = 12.0  # of media
RECORD_TIMEOUT = 60.0  # seconds; a machine too slow to encode the picture in real time shows what it could
PICTURE = (640, 360)  # pixels: encoded in real time beside the server, on any machine

# Nobody waits that long but on a very busy machine, where it is better than to be told that it failed.
READY_TIMEOUT = 120.0  # seconds until the server answers
LIVE_TIMEOUT = 60.0  # seconds until the stream is live
FILES_TIMEOUT = 60.0  # seconds from STOP to the last file
STOP_TIMEOUT = 25.0  # seconds for the server to stop: its own grace is 20

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


def demo() -> None:
    """Record a generated live stream on command and show the files.

    Starts a server with a fresh ./livereel-demo, pushes a test picture to it in real time, sends a signed START and
    STOP, waits for the FLV, HLS and MP4 files, and stops the server. Takes about half a minute.
    """
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to stop, it stops its server too, as with Ctrl-C
    try:
        _run(console)
    except DemoFailed as problem:
        fail(str(problem))
    except KeyboardInterrupt:
        fail("stopped", INTERRUPTED)


def _run(console: "Console") -> None:
    from livereel.testing.api_client import ApiRefused

    rtmp_port, api_port = _prepare()
    console.print(f"Starting a server in ./{DIRECTORY} (its log: {DIRECTORY}/server.log)")
    with _server(api_port):
        try:
            files = _record(console, rtmp_port, api_port)
        except (ApiRefused, OSError, http.client.HTTPException) as problem:
            raise DemoFailed(f"{problem}\n{_log_tail()}") from problem
    _show(console, files, rtmp_port)


def _record(console: "Console", rtmp_port: int, api_port: int) -> list[dict[str, Any]]:
    """Everything between the server's start and its end; returns the record files."""
    from livereel.settings import RtmpSettings
    from livereel.testing.api_client import ApiClient

    key = _access_key(f"http://127.0.0.1:{api_port}")
    client = ApiClient(key["endpoint"], key["access"], key["secret"], key["project_id"])
    domain = RtmpSettings().default_domain
    stream = {"publish_domain": domain, "app": APP, "stream": STREAM}

    console.print(f"Creating a COMMAND_RECORD template for FLV, HLS and MP4 on {domain}")
    formats = {f"{name}_config": {"record_cycle": 3600} for name in ("flv", "hls", "mp4")}
    formats["hls_config"]["record_slice_duration"] = 4
    where = {"bucket": BUCKET, "location": "livereel-1", "object": ""}
    config = {"record_format": ["FLV", "HLS", "MP4"], "obs_addr": where} | formats
    rule = {**stream, "stream": "*", "record_type": "COMMAND_RECORD", "default_record_config": config}
    client.live("POST", "record/rules", body=rule)

    with _publisher(console, f"rtmp://127.0.0.1:{rtmp_port}/{APP}/{STREAM}") as still_pushing:
        began = time.time()
        _until(lambda: _started(client, stream), LIVE_TIMEOUT, "the stream did not become live", still_pushing)
        console.print("START was answered with 200: the first key frame is on disk")
        _watch(console, still_pushing)
        client.live("POST", "record/control", {"action": "STOP"}, stream)
        console.print("STOP was answered with 200; waiting for the files")
        listing = {"start_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began - 60)), "limit": "100"}
        _until(
            lambda: client.live("GET", "record/contents", listing)["total"] >= 3,
            FILES_TIMEOUT,
            "the files did not appear in record/contents",
        )
    contents = client.live("GET", "record/contents", listing)["record_contents"]
    return _with_reports(contents)


def _started(client: "ApiClient", stream: dict[str, str]) -> bool:
    """Send START; False while the stream is not live yet."""
    from livereel.testing.api_client import ApiRefused

    try:
        client.live("POST", "record/control", {"action": "START"}, stream)
    except ApiRefused as refused:
        if refused.reply.status == 404:
            return False
        raise
    return True


def _watch(console: "Console", still_pushing: Callable[[], float]) -> None:
    """Show how the spool grows while the recording runs."""
    from rich.progress import BarColumn, Progress, TextColumn

    spool = DIRECTORY / "data" / "spool"
    columns = (
        TextColumn("Recording"),
        BarColumn(),
        TextColumn("{task.completed:.0f} s, {task.fields[size]} in the spool"),
    )
    if not console.is_terminal:
        console.print(f"Recording for {RECORD_SECONDS:.0f} s")
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("recording", total=RECORD_SECONDS, size="0 B")
        began, deadline = still_pushing(), time.monotonic() + RECORD_TIMEOUT
        while (passed := still_pushing() - began) < RECORD_SECONDS and time.monotonic() < deadline:
            size = sum(file.stat().st_size for file in spool.rglob("*.flv"))
            progress.update(bar, completed=passed, size=bytes_text(size))
            time.sleep(0.2)
        progress.update(bar, completed=RECORD_SECONDS)


# The parts around the recording.


def _prepare() -> tuple[int, int]:
    """Make the directory anew; returns the ports for RTMP and the API. Never deletes a directory of somebody else."""
    settings_file = DIRECTORY / "livereel.toml"
    if DIRECTORY.exists():
        ours = settings_file.is_file() and settings_file.read_text("utf-8", "replace").startswith(MARK)
        if not ours and (not DIRECTORY.is_dir() or any(DIRECTORY.iterdir())):
            raise DemoFailed(f"./{DIRECTORY} is not of a demo: move it away, or run the demo in another directory")
        shutil.rmtree(DIRECTORY)
    rtmp_port, api_port = _free_port(1935), _free_port(8280)
    DIRECTORY.mkdir()
    settings_file.write_text(
        f"{MARK}\n\n"
        f"data_dir = {json.dumps(str((DIRECTORY / 'data').absolute()))}\n\n"
        f'[rtmp]\nhost = "127.0.0.1"\nport = {rtmp_port}\n\n'
        f'[api]\nhost = "127.0.0.1"\nport = {api_port}\n',
        "utf-8",
    )
    return rtmp_port, api_port


@contextlib.contextmanager
def _server(api_port: int) -> Iterator[None]:
    """A server process that is ready; stopped in order at the end."""
    with (DIRECTORY / "server.log").open("wb") as log:
        process = subprocess.Popen(
            _livereel("serve"),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # it shows the first access key, which has no place in a log
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the demo, which then stops the server in order
        )
    try:
        _until(lambda: _ready(process, api_port), READY_TIMEOUT, "the server did not become ready")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(process: "subprocess.Popen[bytes]", api_port: int) -> bool:
    if process.poll() is not None:
        raise DemoFailed(f"the server ended with status {process.returncode}\n{_log_tail()}")
    connection = http.client.HTTPConnection("127.0.0.1", api_port, timeout=5)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def _access_key(endpoint: str) -> dict[str, str]:
    """A key for the demo, made as an operator makes one; also left in a file for the SDKs."""
    done = subprocess.run(
        _livereel("keys", "create", "--json"), env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DemoFailed(f"no access key could be made: {done.stderr.strip()}")
    key: dict[str, str] = json.loads(done.stdout)
    credentials = DIRECTORY / "credentials.env"
    credentials.touch(mode=0o600)
    credentials.write_text(
        f"HUAWEICLOUD_SDK_AK={key['access']}\n"
        f"HUAWEICLOUD_SDK_SK={key['secret']}\n"
        f"HUAWEICLOUD_SDK_PROJECT_ID={key['project_id']}\n",
        "utf-8",
    )
    return key | {"endpoint": endpoint}


@contextlib.contextmanager
def _publisher(console: "Console", url: str) -> Iterator[Callable[[], float]]:
    """A test picture that is pushed in real time.

    Gives a check that raises DemoFailed when the push has broken, and returns the seconds of media that were sent.
    """
    from livereel.testing.publisher import DemoPublisher

    console.print(f"Pushing a test picture to {url}")
    publisher = DemoPublisher(url, size=PICTURE)
    publisher.start()

    def check() -> float:
        if publisher.error is not None:
            raise DemoFailed(f"the push broke: {publisher.error}\n{_log_tail()}")
        return publisher.sent_seconds

    try:
        yield check
    finally:
        publisher.stop()


def _until(condition: Callable[[], T], timeout: float, complaint: str, check: Callable[[], object] = lambda: None) -> T:
    """The first true value of `condition`; DemoFailed after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        check()
        if time.monotonic() > deadline:
            raise DemoFailed(f"{complaint} within {timeout:.0f} s\n{_log_tail()}")
        time.sleep(0.25)
    return value


def _with_reports(contents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The listed files together with what recording.json, which is written last, tells about them."""
    store = DIRECTORY / "data" / "store"
    wanted = {content["obs_addr"]["object"] for content in contents}

    def told() -> dict[str, Any] | None:
        reports = [json.loads(report.read_text("utf-8")) for report in store.rglob("recording.json")]
        found = {file["object"]: file for report in reports for file in report["files"]}
        return found if wanted <= found.keys() else None

    found = _until(told, FILES_TIMEOUT, "recording.json did not appear") or {}
    files = [content | found[content["obs_addr"]["object"]] for content in contents]
    return sorted(files, key=lambda file: str(file["format"]))


def _show(console: "Console", files: list[dict[str, Any]], rtmp_port: int) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Recorded", title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in ("format", "file", "codecs", "picture", "size", "duration", "gaps"):
        table.add_column(column)
    for file in files:
        row = {
            "format": file["format"],
            "file": file["file_name"],
            "codecs": f"{file['video_codec']} + {file['audio_codec']}",
            "picture": f"{file['width']}x{file['height']}",
            "size": bytes_text(file["size"]),
            "duration": f"{file['duration']:.2f} s",
            "gaps": len(file.get("gaps", [])),
        }
        table.add_row(*(Text(cell(value)) for value in row.values()))
    console.print()
    console.print(table)
    console.print()
    lines = []
    for file in files:
        path = DIRECTORY / "data" / "store" / file["obs_addr"]["bucket"] / file["obs_addr"]["object"]
        lines += [f"{file['format']}  {path}", f"     {file['download_url']}"]
    livereel = _command()
    lines += [
        "",
        "What to try next",
        "  Go on with the demo's server and template; the links work for an hour while it runs:",
        f"      {livereel} --config {DIRECTORY}/livereel.toml serve",
        f"      in OBS: server rtmp://127.0.0.1:{rtmp_port}/{APP}, stream key mystream",
        f"      AK, SK and project for the SDK: {DIRECTORY}/credentials.env",
        "  Start a server of your own in ./livereel-data; it makes and prints its own access key:",
        f"      {livereel} serve",
    ]
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _command() -> str:
    """How the user may call us: the bare name if the shell finds it, else the shorter path."""
    if shutil.which("livereel"):
        return "livereel"
    program = Path(sys.argv[0]).absolute()
    if program.name == "__main__.py":
        return f"{_shorter(Path(sys.executable))} -m livereel"
    return str(_shorter(program))


def _shorter(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _livereel(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "livereel", "--config", str(DIRECTORY / "livereel.toml"), *arguments]


def _environment() -> dict[str, str]:
    """Ours without settings: the demo has its own. The choice of the demuxer stays."""
    ours = ("LIVEREEL_DEMUXER",)
    return {name: value for name, value in os.environ.items() if not name.startswith("LIVEREEL_") or name in ours}


def _free_port(wanted: int) -> int:
    """The usual port if it is free, else any."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
            return int(probe.getsockname()[1])
    raise DemoFailed("there is no free port on 127.0.0.1")


def _log_tail() -> str:
    """The last lines of the server's log, for failures."""
    with contextlib.suppress(OSError):
        lines = (DIRECTORY / "server.log").read_text("utf-8", "replace").splitlines()[-8:]
        return "\n".join([f"The end of {DIRECTORY}/server.log:", *(f"  {line}" for line in lines)])
    return f"See {DIRECTORY}/server.log"
