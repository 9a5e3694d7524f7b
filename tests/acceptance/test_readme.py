"""What the README tells people to type exists: make targets and livereel commands, here and in the other guides."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import Push
from tests.acceptance.server import LIVEREEL, LiveServer, wait_until
from tests.acceptance.tools import ROOT

GUIDES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def typed(text: str, program: str) -> set[tuple[str, ...]]:
    """The words after `program` where a guide shows a command: at the start of a line of code, or in backticks."""
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    indented = "\n".join(line.strip() for line in text.splitlines() if line.startswith("    "))
    lines = re.findall(rf"^(?:\$ )?(?:\S+/)?{program} ([^\n#]+)", f"{blocks}\n{indented}", re.MULTILINE)
    inline = re.findall(rf"`(?:\S+/)?{program} ([^`\n]+)`", text)
    return {words for line in lines + inline if (words := tuple(_leading_words(line)))}


def _leading_words(line: str) -> list[str]:
    """Sub-commands are plain words; options, values and placeholders end them."""
    found = []
    for word in line.split():
        if not re.fullmatch(r"[a-z][a-z-]*", word):
            break
        found.append(word)
    return found


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_exist(guide: Path) -> None:
    unknown = {words[0] for words in typed(guide.read_text(), "make")} - TARGETS
    assert not unknown, f"{guide.name} names make targets that do not exist: {sorted(unknown)}"


def test_readme_begins_with_the_two_commands() -> None:
    assert {("demo",), ("test",)} <= typed((ROOT / "README.md").read_text(), "make")


def test_livereel_commands_exist() -> None:
    commands = {words for guide in GUIDES for words in typed(guide.read_text(), "livereel")}
    assert ("serve",) in commands
    for words in sorted(commands):
        for length in range(1, len(words) + 1):
            text = _help(words[:length])
            assert text is not None, f"there is no `livereel {' '.join(words[:length])}`"
            if "COMMAND" not in text:
                break  # not a group: further words are arguments


def _help(words: tuple[str, ...]) -> str | None:
    """The help of a command or group, None if there is no such command."""
    command = [LIVEREEL, *words, "--help"]
    done = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)
    return done.stdout.decode() if done.returncode == 0 else None


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(guide: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", guide.read_text())
    missing = [link for link in links if not (guide.parent / link).exists()]
    assert not missing, f"{guide.name} links to what is not there: {missing}"


WAIT_FOR_FILES = """
listed = ListRecordContentsRequest(start_time="2026-01-01T00:00:00Z")
until = time.monotonic() + 120
while live.list_record_contents(listed).total < 3 and time.monotonic() < until:
    time.sleep(0.2)
"""


def test_the_sdk_sample_records(own_server: LiveServer, ffmpeg_push: Push, tmp_path: Path) -> None:
    """The README's program with nothing changed but the printed values and the pause."""
    [sample] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    credentials = own_server.credentials
    assert credentials is not None
    for placeholder, value in (
        ("PRINTED AK", credentials.access),
        ("PRINTED SK", credentials.secret),
        ("PRINTED PROJECT", credentials.project_id),
        ("http://SERVER:8280", own_server.endpoint),
        ("\n...\n", "\nimport time; time.sleep(3)\n"),
        # The last line lists what is stored; files are there a moment after STOP.
        ("print(live.list", f"{WAIT_FOR_FILES}print(live.list"),
    ):
        assert placeholder in sample
        sample = sample.replace(placeholder, value)
    program = tmp_path / "sample.py"
    program.write_text(sample)
    ffmpeg_push(own_server.push_url("mystream", domain="publish.livereel.internal"))
    wait_until(lambda: any(event["event"] == "publish" for event in own_server.events()), 60, "the push")
    done = subprocess.run([sys.executable, str(program)], check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    for suffix in (".flv", ".mp4", ".m3u8"):
        assert suffix in done.stdout
