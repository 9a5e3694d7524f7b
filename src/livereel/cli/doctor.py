"""`livereel doctor`: looks at everything a server needs and says what to do about what is wrong."""

import asyncio
import contextlib
import errno
import http.client
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from livereel.cli.shell import EXIT_FAILED, AsJson, bytes_text, print_json, say, settings_of
from livereel.domain.errors import LivereelError

if TYPE_CHECKING:
    from livereel.settings import Settings
    from livereel.storage.config import BucketConfig

DISK_FAIL, DISK_WARN = 1 << 30, 10 << 30  # bytes: minutes of a few streams; an hour of 8 streams
PROBE_TIMEOUT = 60.0  # seconds for a subprocess to import libav on a busy machine
ANSWER_TIMEOUT = 15.0  # seconds for a livereel on a busy machine to say that it is there
BUCKET_TIMEOUT = 10.0  # seconds for a request to a store; a healthy one answers in one
FILES_PER_STREAM = 2  # open files: the socket and the spool segment
FILES_BESIDE = 200  # open files of everything else


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    verdict: Verdict
    subject: str
    text: str


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check whether a server can run here, and say what to do.

    Looks at settings, directories, ports, limits, catalogue, buckets and libraries. Ends with 1 if something must be
    fixed. Like every command that uses the catalogue it brings an older schema up to date.
    """
    settings = settings_of(context)
    findings = [_source(context), *(finding for check in CHECKS for finding in _carefully(check, settings))]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            say(f"{finding.verdict:<5} {finding.subject:<10} {finding.text}")
    if any(finding.verdict is Verdict.FAIL for finding in findings):
        raise typer.Exit(EXIT_FAILED)


def _carefully(check: "Callable[[Settings], Iterator[Finding]]", settings: "Settings") -> Iterator[Finding]:
    """A check that breaks is a finding too: the others still have something to say."""
    try:
        yield from check(settings)
    except Exception as problem:
        name = check.__name__.removeprefix("check_")
        yield Finding(Verdict.FAIL, name, f"the check itself failed: {type(problem).__name__}: {problem}")


def check_settings(settings: "Settings") -> Iterator[Finding]:
    """What settings leave open."""
    from livereel.settings import unknown_variables

    named = tuple(f"{bucket.credentials_env}_" for bucket in settings.storage.buckets.values())
    for name in (name for name in unknown_variables() if not name.startswith(named)):
        yield Finding(Verdict.WARN, "settings", f"environment variable {name} is no setting: misspelt?")
    if settings.api.public_url is None and settings.public_url().startswith(("http://127.0.0.1", "https://127.0.0.1")):
        hint = "set api.public_url to the address clients use"
        yield Finding(Verdict.WARN, "settings", f"download links point to {settings.public_url()}: {hint}")
    if settings.api.tls_certificate and settings.api.tls_key:
        yield _tls(settings.api.tls_certificate, settings.api.tls_key)


def check_data(settings: "Settings") -> Iterator[Finding]:
    """Whether data can be kept."""
    full = (1 - settings.disk.high_water, settings.disk.reserve or 0)
    for name, directory, marks in (("data_dir", settings.data_dir, full), ("store", settings.storage_root(), (0, 0))):
        place = _existing(directory)
        if (problem := _unwritable(place)) is not None:
            hint = f"make it writable for user {os.getuid()} or choose another place"
            yield Finding(Verdict.FAIL, name, f"{place.absolute()}: {problem}; {hint}")
            continue
        usage = shutil.disk_usage(place)
        share = usage.free / max(1, usage.used + usage.free)
        refused = share < marks[0] or usage.free < max(DISK_FAIL, marks[1])
        verdict = Verdict.FAIL if refused else Verdict.WARN if usage.free < DISK_WARN else Verdict.OK
        hint = "" if verdict is Verdict.OK else "; make room or choose another place"
        if share < marks[0] or usage.free < marks[1]:
            hint = f", less than disk.high_water or disk.reserve leaves: no recording begins{hint}"
        new = "" if directory.exists() else " (made at the first start)"
        text = f"{directory.absolute()}{new}, {bytes_text(usage.free)} ({share:.0%}) free{hint}"
        yield Finding(verdict, name, text)
    yield from _damaged(settings)


def check_ports(settings: "Settings") -> Iterator[Finding]:
    """Whether the ports can be had, or a livereel has them already."""
    running = _healthy(settings)
    for name, host, port in (
        ("rtmp port", settings.rtmp.host, settings.rtmp.port),
        ("api port", settings.api.host, settings.api.port),
    ):
        problem = _port_problem(host, port)
        if problem is None:
            yield Finding(Verdict.OK, name, f"{port or 'any'} is free")
        elif problem == errno.EADDRINUSE and running:
            yield Finding(Verdict.OK, name, f"{port} is taken; a livereel answers at {settings.public_url()}")
        elif problem == errno.EADDRINUSE:
            yield Finding(Verdict.FAIL, name, f"{port} is taken by another program: stop it or choose another port")
        else:
            yield Finding(Verdict.FAIL, name, f"{host}:{port}: {os.strerror(problem)}")


def check_limits(settings: "Settings") -> Iterator[Finding]:
    """Whether the system allows as many open files as the settings promise connections."""
    import resource

    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)  # the server takes what the hard limit grants
    wanted = settings.rtmp.max_connections * FILES_PER_STREAM + FILES_BESIDE
    if allowed == resource.RLIM_INFINITY or allowed >= wanted:
        yield Finding(Verdict.OK, "open files", f"up to {allowed}")
    else:
        streams = max(0, allowed - FILES_BESIDE) // FILES_PER_STREAM
        hint = f"raise the hard limit to {wanted}: `ulimit -Hn`, or LimitNOFILE of systemd"
        text = f"up to {allowed}: enough to record {streams} streams, rtmp.max_connections is "
        yield Finding(Verdict.WARN, "open files", f"{text}{settings.rtmp.max_connections}; {hint}")


def check_catalogue(settings: "Settings") -> Iterator[Finding]:
    """Whether the catalogue opens with the schema of this version."""
    if settings.catalogue.url is None and not (settings.data_dir / "catalogue.db").exists():
        yield Finding(Verdict.OK, "catalogue", "SQLite in data_dir (made at the first start)")
        return
    from livereel.catalogue.engine import open_catalogue
    from livereel.iam.secrets import Sealer, open_key_file
    from livereel.iam.service import KEY_FILE_CHANGED, Iam
    from livereel.observe.clock import SystemClock

    sealer: Sealer | None = None
    try:
        sealer = open_key_file(settings.key_file()) if settings.key_file().exists() else None
    except (LivereelError, OSError) as problem:
        yield Finding(Verdict.FAIL, "key file", str(problem))

    async def look() -> tuple[int, int, list[str]]:
        catalogue = await open_catalogue(settings.catalogue_url())
        try:
            async with catalogue.read() as work:
                counts = len(await work.projects.find()), (await work.tasks.list(limit=1)).total
            return *counts, await Iam(catalogue, SystemClock(), sealer).lost_keys() if sealer is not None else []
        finally:
            await catalogue.close()

    try:
        projects, tasks, lost = asyncio.run(look())
    except LivereelError as problem:
        yield Finding(Verdict.FAIL, "catalogue", problem.detail)
        return
    kind = settings.catalogue_url().partition(":")[0]
    yield Finding(Verdict.OK, "catalogue", f"{kind}, schema is current, {projects} projects, {tasks} recordings")
    if settings.data_dir.exists() and not settings.key_file().exists():
        text = f"{settings.key_file()} is missing: access keys in the catalogue cannot be opened; restore it"
        yield Finding(Verdict.FAIL, "key file", text)
    elif lost:
        text = f"{', '.join(lost)} cannot be used: {KEY_FILE_CHANGED} ({settings.key_file()})"
        yield Finding(Verdict.FAIL, "keys", text)


def check_buckets(settings: "Settings") -> Iterator[Finding]:
    """Whether objects can be put into each bucket of an object store, read and deleted."""
    from livereel.storage.object_store import ObjectStore

    async def check(name: str, config: "BucketConfig") -> str:
        store = ObjectStore(name, config, request_timeout=BUCKET_TIMEOUT)
        await store.check()
        where = f" at {config.endpoint}" if config.endpoint else ""
        return f"{config.url}{where}: objects can be stored, read and deleted"

    for name, bucket in settings.storage.buckets.items():
        subject = f"bucket {name}"
        file = bucket.credentials_file
        if file is not None and file.exists() and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield Finding(Verdict.WARN, subject, f"{file} can be read by other users: `chmod 600 {file}`")
        try:
            yield Finding(Verdict.OK, subject, asyncio.run(check(name, settings.bucket_config(name))))
        except LivereelError as problem:
            yield Finding(Verdict.FAIL, subject, problem.detail)


def check_software(_settings: "Settings") -> Iterator[Finding]:
    """Which builds are in use."""
    from livereel import __version__

    python = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding(Verdict.OK, "livereel", f"{__version__} on Python {python}")
    try:
        from livereel.rtmp import demuxer
    except ValueError as problem:
        yield Finding(Verdict.FAIL, "demuxer", str(problem))
    else:
        yield Finding(Verdict.OK, "demuxer", f"{demuxer.build()} build")
    yield _libav()


CHECKS: tuple[Callable[["Settings"], Iterator[Finding]], ...] = (
    check_settings,
    check_data,
    check_ports,
    check_limits,
    check_catalogue,
    check_buckets,
    check_software,
)


def _damaged(settings: "Settings") -> Iterator[Finding]:
    """What is kept of damaged files, if anything is."""
    from livereel.control.damaged import kept_spools

    if not (kept := kept_spools(settings.damaged_dir())):
        return
    age = settings.retention.damaged_seconds
    until = "until somebody deletes them" if age is None else f"for {age / 86_400:.3g} days each"
    size = bytes_text(sum(each.size for each in kept))
    text = f"spools of {len(kept)} damaged files in {settings.damaged_dir().absolute()}, {size}, kept {until}"
    hint = "file.json in each says what is wrong with its file"
    yield Finding(Verdict.WARN, "damaged", f"{text}; {hint}")


def _source(context: typer.Context) -> Finding:
    from livereel.settings import config_path

    source = config_path(context.find_root().obj)
    return Finding(Verdict.OK, "settings", f"read from {source}" if source else "defaults (no livereel.toml here)")


def _libav() -> Finding:
    """Asked in a process of its own, as the server does: libav is never loaded beside untrusted input."""
    script = (
        "import av, json; v = av.library_versions; "
        "print(json.dumps([av.__version__, av.ffmpeg_version_info, '.'.join(map(str, v['libavformat']))]))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=PROBE_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return Finding(Verdict.FAIL, "libav", f"cannot be tried: {problem}")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        return Finding(Verdict.FAIL, "libav", f"PyAV does not load: {last}; reinstall the package av")
    pyav, ffmpeg, libavformat = json.loads(done.stdout)
    return Finding(Verdict.OK, "libav", f"PyAV {pyav}, FFmpeg {ffmpeg}, libavformat {libavformat}")


def _tls(certificate: Path, key: Path) -> Finding:
    import ssl

    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as problem:
        return Finding(Verdict.FAIL, "tls", f"{certificate} with {key}: {problem}")
    return Finding(Verdict.OK, "tls", f"{certificate} fits its key")


def _existing(directory: Path) -> Path:
    """The directory, or the nearest one above it that exists."""
    directory = directory.absolute()
    return next(place for place in (directory, *directory.parents) if place.exists())


def _unwritable(place: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"livereel")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as problem:
        return problem.strerror or str(problem)
    return None


def _port_problem(host: str, port: int) -> int | None:
    """The errno of an attempt to listen there, None if it works."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)  # with SO_REUSEADDR a port that somebody listens on is only refused here
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as problem:
        return problem.errno or errno.EIO
    return None


def _healthy(settings: "Settings") -> bool:
    """Whether a livereel answers on the API port."""
    import ssl
    from urllib.parse import urlsplit

    local = settings.model_copy(update={"api": settings.api.model_copy(update={"public_url": None})})
    parts = urlsplit(local.public_url())
    if not parts.port or parts.hostname is None:
        return False
    if parts.scheme == "https":
        # Only asked whether it is there; nothing is sent that a wrong server must not see.
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.hostname,
            parts.port,
            timeout=ANSWER_TIMEOUT,
            context=ssl._create_unverified_context(),  # noqa: S323
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_TIMEOUT)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            return answer.status == 200 and answer.read(64).replace(b" ", b"") == b'{"status":"ok"}'
        except (OSError, http.client.HTTPException):
            return False
