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
    """The words after `program` where a guide shows a command: in a code block at the start of a line, or in backticks."""
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    indented = "\n".join(line.strip() for line in text.splitlines() if line.startswith("    "))
    lines = re.findall(rf"^(?:\$ )?{program} ([^\n#]+)", f"{blocks}\n{indented}", re.MULTILINE)
    inline = re.findall(rf"`{program} ([^`\n]+)`", text)
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
        # The longest chain of words that is a command; what follows are arguments.
        assert any(_is_command(words[:length]) for length in range(len(words), 0, -1)), f"livereel {' '.join(words)}"


def _is_command(words: tuple[str, ...]) -> bool:
    done = subprocess.run([LIVEREEL, *words, "--help"], check=False, capture_output=True, stdin=subprocess.DEVNULL)
    return done.returncode == 0
