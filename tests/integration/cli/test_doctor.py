"""`livereel doctor`: what it finds on a healthy machine, and on one that is not."""

import asyncio
import json
import shutil
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from livereel.catalogue.engine import open_catalogue
from livereel.cli.main import app
from livereel.iam.secrets import open_key_file
from livereel.iam.service import Iam
from livereel.observe.clock import SystemClock


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without anything on a disk with room, which this machine's may not have, and ports that are free."""
    monkeypatch.chdir(tmp_path)
    usage = shutil.disk_usage(Path())
    roomy = usage._replace(total=1 << 40, used=1 << 39, free=1 << 39)
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: roomy)
    monkeypatch.setenv("LIVEREEL_RTMP__PORT", "0")
    monkeypatch.setenv("LIVEREEL_API__PORT", "0")
    monkeypatch.setenv("LIVEREEL_API__HOST", "127.0.0.1")
    monkeypatch.setenv("LIVEREEL_RTMP__HOST", "127.0.0.1")


def findings(code: int = 0) -> dict[str, list[tuple[str, str]]]:
    """What the doctor finds, by subject."""
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == code, result.output
    found: dict[str, list[tuple[str, str]]] = {}
    for finding in json.loads(result.stdout):
        found.setdefault(finding["subject"], []).append((finding["verdict"], finding["text"]))
    return found


@pytest.fixture
def listener() -> Iterator[int]:
    """A port that some other program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_healthy_machine() -> None:
    found = findings()
    assert {verdict for lines in found.values() for verdict, _ in lines} <= {"ok", "warn"}
    assert "made at the first start" in found["data_dir"][0][1]
    assert found["demuxer"][0][1] in {"python build", "compiled build"}
    assert "FFmpeg" in found["libav"][0][1]
    assert list(Path().iterdir()) == []


def test_spools_of_damaged_files() -> None:
    kept = Path("livereel-data") / "damaged" / ("0" * 32)
    kept.mkdir(parents=True)
    (kept / "000001.flv").write_bytes(bytes(2_000_000))
    (kept / "file.json").write_text("{}")
    [(verdict, text)] = findings()["damaged"]
    assert verdict == "warn"
    assert "spools of 1 damaged files" in text and "kept for 30 days each" in text and "file.json" in text


@pytest.mark.parametrize(("name", "value"), [("HIGH_WATER", "0.05"), ("RESERVE", str(1 << 60))])
def test_a_disk_without_room_for_recordings(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert findings()["data_dir"][0][0] in {"ok", "warn"}
    monkeypatch.setenv(f"LIVEREEL_DISK__{name}", value)
    verdict, text = findings(code=1)["data_dir"][0]
    assert verdict == "fail"
    assert "no recording begins; make room" in text
    assert findings(code=1)["store"][0][0] in {"ok", "warn"}  # the marks are not about buckets


def test_lines_for_people() -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert all(line.split()[0] in {"ok", "warn", "fail"} for line in result.stdout.splitlines())


def test_a_misspelt_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEREEL_RTPM__PORT", "1")
    assert ("warn", "environment variable LIVEREEL_RTPM__PORT is no setting: misspelt?") in findings()["settings"]


def test_a_place_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEREEL_DATA_DIR", "/proc/livereel")
    [(verdict, text)] = findings(code=1)["data_dir"]
    assert verdict == "fail"
    assert "/proc" in text
    assert "choose another place" in text


def test_a_port_of_another_program(listener: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEREEL_RTMP__PORT", str(listener))
    assert findings(code=1)["rtmp port"] == [
        ("fail", f"{listener} is taken by another program: stop it or choose another port")
    ]


def test_ports_of_a_running_livereel(listener: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status":"ok"}')

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("LIVEREEL_API__PORT", str(server.server_port))
        monkeypatch.setenv("LIVEREEL_RTMP__PORT", str(listener))
        found = findings()
        server.shutdown()
    assert found["api port"][0][0] == found["rtmp port"][0][0] == "ok"
    assert "a livereel answers" in found["api port"][0][1]


def test_a_catalogue_without_its_key_file() -> None:
    async def make() -> None:
        await (await open_catalogue("sqlite:///livereel-data/catalogue.db")).close()

    asyncio.run(make())
    found = findings(code=1)
    assert found["catalogue"] == [("ok", "sqlite, schema is current, 0 projects, 0 recordings")]
    assert "restore it" in found["key file"][0][1]


def test_another_key_file_than_the_keys_were_made_with() -> None:
    key_file = Path("livereel-data/livereel.key")

    async def first_start() -> str:
        catalogue = await open_catalogue("sqlite:///livereel-data/catalogue.db")
        first = await Iam(catalogue, SystemClock(), open_key_file(key_file)).bootstrap("livereel-1")
        await catalogue.close()
        assert first is not None
        return first.access

    access = asyncio.run(first_start())
    assert "keys" not in findings()
    key_file.unlink()
    open_key_file(key_file)
    [(verdict, text)] = findings(code=1)["keys"]
    assert verdict == "fail" and access in text and str(key_file) in text
    key_file.write_text("something else")
    [(verdict, text)] = findings(code=1)["key file"]
    assert (verdict, text) == ("fail", f"{key_file} is not a livereel key file; restore it from a backup")


def test_a_catalogue_that_is_none() -> None:
    Path("livereel-data").mkdir()
    Path("livereel-data/catalogue.db").write_bytes(b"not a database" * 1000)
    assert findings(code=1)["catalogue"][0][0] == "fail"


def test_tls_files_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEREEL_API__TLS_CERTIFICATE", "nothing.pem")
    monkeypatch.setenv("LIVEREEL_API__TLS_KEY", "nothing.key")
    assert findings(code=1)["tls"][0][0] == "fail"


def test_a_bucket_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_ACCESS_KEY", "ak")
    monkeypatch.setenv("STORE_SECRET_KEY", "very-secret")
    credentials = tmp_path / "credentials.toml"
    credentials.write_text('access_key = "ak"\nsecret_key = "very-secret"\n')
    credentials.chmod(0o644)
    (tmp_path / "livereel.toml").write_text(
        """
        [storage.buckets.rec-a]
        url = "s3://tenant"
        endpoint = "http://127.0.0.1:9"
        credentials_env = "STORE"
        [storage.buckets.rec-b]
        url = "s3://tenant"
        endpoint = "http://127.0.0.1:9"
        credentials_file = "credentials.toml"
        [storage.buckets.rec-c]
        url = "s3://tenant"
        credentials_env = "NOBODY"
        """
    )
    found = findings(code=1)
    [(verdict, text)] = found["bucket rec-a"]
    assert verdict == "fail"
    assert "no connection: look whether the store is up" in text
    assert "very-secret" not in text
    assert [verdict for verdict, _ in found["bucket rec-b"]] == ["warn", "fail"]
    assert "chmod 600" in found["bucket rec-b"][0][1]
    assert "none of NOBODY_ACCESS_KEY" in found["bucket rec-c"][0][1]
