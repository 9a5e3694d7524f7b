"""`livereel serve` as a process: what it prints, and how it ends when it cannot run."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest


def serve(directory: Path, **settings: str) -> "subprocess.Popen[str]":
    """A server process with ports of its own."""
    ours = {f"LIVEREEL_{group}__{name}": value for group in ("RTMP", "API") for name, value in ADDRESS.items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIVEREEL_")}
    return subprocess.Popen(
        [sys.executable, "-m", "livereel", "serve"],
        cwd=directory,
        env=inherited | ours | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


ADDRESS = {"HOST": "127.0.0.1", "PORT": "0"}


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Exit status and standard error."""
    _, errors = process.communicate(timeout=200)
    return process.returncode, errors


def test_the_first_start_prints_its_key_and_the_second_does_not(tmp_path: Path) -> None:
    printed = []
    for _ in range(2):
        process = serve(tmp_path)
        assert process.stdout is not None
        lines = [process.stdout.readline(), process.stdout.readline()]
        process.send_signal(signal.SIGTERM)
        lines += process.stdout.readlines()
        code, errors = ended(process)
        assert code == 0, errors
        assert "Traceback" not in errors
        printed.append("".join(lines))
    first, second = printed
    assert first.startswith("Push to   rtmp://127.0.0.1:")
    assert "API at    http://127.0.0.1:" in second
    secret = next(line.split()[1] for line in first.splitlines() if line.strip().startswith("SK"))
    assert len(secret) == 40
    assert "SK" not in second


@pytest.mark.parametrize("group", ["RTMP", "API"])
def test_a_taken_port_is_told_without_a_traceback(tmp_path: Path, group: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code, errors = ended(serve(tmp_path, **{f"LIVEREEL_{group}__PORT": str(server.getsockname()[1])}))
    assert code == 1
    assert "Traceback" not in errors
    assert "`livereel doctor` says which port it is" in errors.splitlines()[-1]


def test_two_servers_do_not_share_a_directory(tmp_path: Path) -> None:
    first = serve(tmp_path)
    assert first.stdout is not None
    first.stdout.readline()
    code, errors = ended(serve(tmp_path))
    first.send_signal(signal.SIGTERM)
    ended(first)
    assert code == 1
    assert "is in use by another livereel server" in errors.splitlines()[-1]


def test_files_that_are_no_certificate_are_named(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("nothing\n")
    code, errors = ended(serve(tmp_path, LIVEREEL_API__TLS_CERTIFICATE="cert.pem", LIVEREEL_API__TLS_KEY="key.pem"))
    assert code == 1
    assert errors.splitlines()[-1].endswith("is cert.pem a certificate, and key.pem its key?")


def test_a_demuxer_that_there_is_not_is_told_in_one_line(tmp_path: Path) -> None:
    code, errors = ended(serve(tmp_path, LIVEREEL_DEMUXER="fast"))
    assert (code, errors) == (2, "livereel: LIVEREEL_DEMUXER is 'fast', must be auto, python or compiled\n")


def test_a_broken_setting_ends_it_at_once(tmp_path: Path) -> None:
    code, errors = ended(serve(tmp_path, LIVEREEL_RTMP__PORT="many"))
    assert code == 2
    assert errors.startswith("livereel: environment LIVEREEL_RTMP__PORT (rtmp.port): ")
    assert len(errors.splitlines()) == 1
