"""What the README tells people to type exists: make targets and livereel commands, here and in the other guides."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.server import LIVEREEL
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
