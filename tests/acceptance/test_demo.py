"""`livereel demo`: the first thing a newcomer runs."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.footage import MediaFile, check_same_content
from tests.acceptance.server import LIVEREEL


@pytest.mark.slow
def test_demo_leaves_files_that_play(tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("LIVEREEL_")}
    done = subprocess.run(
        [LIVEREEL, "demo"],
        cwd=tmp_path,
        env=inherited,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=280,
    )
    output = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0, output
    assert "Traceback" not in output
    for word in ("FLV", "HLS", "MP4", "livereel serve"):
        assert word in output, output

    files = [MediaFile(path) for path in tmp_path.rglob("*") if path.suffix in {".flv", ".mp4", ".m3u8"}]
    files = [file for file in files if "spool" not in file.path.parts]
    assert {file.path.suffix for file in files} == {".flv", ".mp4", ".m3u8"}
    for file in files:
        file.check_whole()
        assert file.seconds > 5
    check_same_content(files)
    assert list(tmp_path.rglob("recording.json"))
