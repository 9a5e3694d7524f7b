"""Programs that some tests want beside Python: where they are, and what to do when they are not.

`needs` is the only place where a test of this project may be skipped. Where CI is set nothing is: .ci/run installs
all of them.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SDK = Path(__file__).parent / "sdk"
BUILD = ROOT / "build" / "sdk"  # not under version control; `make clean` removes it

_NGINX_RTMP = [
    Path("/usr/lib/nginx/modules/ngx_rtmp_module.so"),
    Path("/usr/share/nginx/modules/ngx_rtmp_module.so"),
    Path("/usr/lib64/nginx/modules/ngx_rtmp_module.so"),
]


class Tool(NamedTuple):
    """A program: how to see that it is there, and how to get it."""

    present: Callable[[], bool]
    install: str


def _on_path(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name) is not None


def _gstreamer() -> bool:
    return (
        shutil.which("gst-launch-1.0") is not None
        and aac_encoder() is not None
        and gst_has("rtmp2sink", "rtmpsink", "x264enc")
    )


TOOLS = {
    "go": Tool(_on_path("go"), "Go 1.19 or newer (Debian: apt-get install golang-go)"),
    "mvn": Tool(_on_path("mvn"), "Maven and a JDK 11 or newer (Debian: apt-get install maven default-jdk-headless)"),
    "nginx-rtmp": Tool(
        lambda: nginx() is not None and nginx_rtmp_module() is not None,
        "nginx with the rtmp module (Debian: apt-get install nginx libnginx-mod-rtmp)",
    ),
    "gstreamer": Tool(
        _gstreamer,
        "GStreamer with x264enc, an AAC encoder, rtmp2sink and rtmpsink (Debian: apt-get install gstreamer1.0-tools "
        "gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly)",
    ),
}


def needs(*names: str) -> None:
    """Go on only if these tools are installed; otherwise say by name what is missing. A failure where CI is set."""
    for name in names:
        tool = TOOLS[name]
        if tool.present():
            continue
        message = f"not tested: {name} is not installed; get {tool.install}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def nginx() -> str | None:
    """Debian keeps it where an ordinary user's PATH does not look."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def nginx_rtmp_module() -> Path | None:
    """The dynamic module, if it is in one of the places where distributions put it."""
    return next((path for path in _NGINX_RTMP if path.exists()), None)


def gst_has(*elements: str) -> bool:
    """Whether GStreamer knows all these elements."""
    inspect = shutil.which("gst-inspect-1.0")
    return inspect is not None and all(
        subprocess.run([inspect, "--exists", name], check=False, capture_output=True).returncode == 0
        for name in elements
    )


def aac_encoder() -> str | None:
    """The first AAC encoder that GStreamer has here."""
    return next((name for name in ("voaacenc", "avenc_aac", "fdkaacenc", "faac") if gst_has(name)), None)


@contextmanager
def _building() -> Iterator[None]:
    """One process at a time: tests run in several, and builds share directories."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def go_program(package: str = ".") -> list[str]:
    """Build a program of sdk/go (cached by Go itself); the command that runs it."""
    needs("go")
    program = BUILD / ("record_control_go" if package == "." else f"{Path(package).name}_go")
    with _building():
        _run(["go", "build", "-mod=readonly", "-o", str(program), package], SDK / "go")
    return [str(program)]


@cache
def _java_classpath() -> str:
    build = BUILD / "java"
    build.mkdir(parents=True, exist_ok=True)
    maven = ["mvn", "-q", "-B", f"-Dsample.build={build}", "compile", "dependency:build-classpath"]
    with _building():
        # Once the jars are in the local repository Maven need not ask anybody.
        if subprocess.run([*maven, "-o"], cwd=SDK / "java", check=False, capture_output=True).returncode:
            _run(maven, SDK / "java")
        return f"{build / 'classes'}{os.pathsep}{(build / 'classpath').read_text()}"


def java_program(main: str = "RecordControl") -> list[str]:
    """Compile the programs of sdk/java; the command that runs one."""
    needs("mvn")
    return ["java", "-cp", _java_classpath(), main]


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(
        command, cwd=directory, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout.decode(errors='replace')[-4000:]}"
