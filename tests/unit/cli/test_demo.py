"""The parts of the demo that could do harm: its directory, its environment, its ports."""

import socket
import sys
from pathlib import Path

import pytest

from livereel.cli import demo
from livereel.settings import load


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_its_settings_can_be_read_and_its_directory_is_made_anew() -> None:
    rtmp_port, api_port = demo._prepare()
    settings = load(demo.DIRECTORY / "livereel.toml")
    assert (settings.rtmp.port, settings.api.port) == (rtmp_port, api_port)
    assert (settings.rtmp.host, settings.api.host) == ("127.0.0.1", "127.0.0.1")
    assert settings.data_dir == Path.cwd() / "livereel-demo" / "data"
    (demo.DIRECTORY / "old").touch()
    demo._prepare()
    assert not (demo.DIRECTORY / "old").exists()


def test_a_directory_of_somebody_else_is_left_alone() -> None:
    demo.DIRECTORY.mkdir()
    precious = demo.DIRECTORY / "livereel.toml"
    precious.write_text("# mine\n")
    with pytest.raises(demo.DemoFailed, match="is not of a demo"):
        demo._prepare()
    assert precious.read_text() == "# mine\n"


def test_what_to_try_next_can_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sys.argv", [str(Path.cwd() / ".venv/bin/livereel"), "demo"])
    assert demo._command() == ".venv/bin/livereel"
    monkeypatch.setattr("sys.argv", ["/anywhere/livereel/__main__.py", "demo"])
    assert demo._command() == f"{sys.executable} -m livereel"


def test_an_empty_directory_is_taken() -> None:
    demo.DIRECTORY.mkdir()
    demo._prepare()


def test_a_taken_port_is_avoided() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert demo._free_port(taken) not in {0, taken}


def test_settings_of_the_shell_do_not_reach_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEREEL_DATA_DIR", "/precious")
    monkeypatch.setenv("LIVEREEL_DEMUXER", "python")
    environment = demo._environment()
    assert "LIVEREEL_DATA_DIR" not in environment
    assert environment["LIVEREEL_DEMUXER"] == "python"
