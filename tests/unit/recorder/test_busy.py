from pathlib import Path

from livereel.domain.recordings import SpoolPosition
from livereel.recorder import busy


def test_note_is_read_by_others_and_cleared(tmp_path: Path) -> None:
    path = tmp_path / "note"
    assert busy.read(path) is None
    note = busy.BusyNote(path)
    assert busy.read(path) is None
    note.set("7a6b5c4d3e2f10987a6b5c4d3e2f1098", SpoolPosition(3, 4711))
    assert busy.read(path) == busy.Busy("7a6b5c4d3e2f10987a6b5c4d3e2f1098", SpoolPosition(3, 4711))
    note.clear()
    assert busy.read(path) is None


def test_new_life_begins_with_an_empty_note(tmp_path: Path) -> None:
    busy.BusyNote(tmp_path / "note").set("a" * 32, SpoolPosition(1, 1))
    busy.BusyNote(tmp_path / "note")
    assert busy.read(tmp_path / "note") is None
