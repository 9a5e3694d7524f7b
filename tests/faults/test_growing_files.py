"""Files on disk play at any moment while they grow, up to a bound, and are ordinary files afterwards."""

import random
import shutil
import time
from itertools import count, pairwise
from pathlib import Path

import av
import pytest

from livereel.testing.media import assert_sound
from tests.acceptance.server import wait_until
from tests.faults.encoders import Crew, Encoder
from tests.faults.instance import PATIENCE, Instance
from tests.faults.numbered import Media, numbers_in

#: Media (s) that may be missing at the end of a growing file: what docs/topics/recovery.md says, for the HLS slices of
#: 2 s and the key frames every 0.5 s of this test; and the audio that waits for its picture or the other way round.
BEHIND = {".flv": 1.0 + 0.2, ".mp4": 2.0 + 0.2, ".m3u8": 2.0 + 0.5 + 0.2}
COPIES = 12
END = "#EXT-X-ENDLIST\n"


def test_growing_files_play(instance: Instance, crew: Crew, numbered: Media, tmp_path: Path) -> None:
    stream = "growing"
    instance.template(stream)
    encoder = Encoder(crew, numbered, lambda: instance.port, stream).start()
    try:
        instance.start_when_live(stream)
        wait_until(lambda: len(growing(instance)) == len(BEHIND), PATIENCE, "a file of each format")
        chance = random.Random(1)
        seen = dict.fromkeys(BEHIND, 0)
        numbers = count()

        def look() -> bool:
            """Play copies of all files; whether there was something in each."""
            for path in copies(growing(instance), tmp_path / f"copy-{next(numbers)}"):
                found = playable(path, numbered)
                assert len(found) >= seen[path.suffix], f"{path} was longer before"
                seen[path.suffix] = len(found)
            return all(seen.values())

        for _ in range(COPIES):
            time.sleep(chance.uniform(0.1, 0.9))
            look()
        wait_until(look, PATIENCE, "something in each file")

        # Then nothing more comes, but the push stays: so much of it has to be in each file, however slow this machine.
        encoder.hold()
        wait_until(lambda: encoder.held, PATIENCE, "the encoder to pause")
        sent_until = numbered.time(encoder.sent - 1)
        for suffix, behind in BEHIND.items():
            held = Held(instance, suffix, tmp_path / f"held{suffix}", numbered)
            wait_until(
                lambda held=held, behind=behind: held.reaches() >= sent_until - behind,
                PATIENCE,
                f"{suffix} up to {sent_until - behind:.2f} s, which has {held.reached} s",
            )
        assert instance.control("STOP", stream).status == 200
        instance.wait_for_state(stream, "completed")
    finally:
        encoder.leave()
    check_ordinary(instance, stream, numbered)


def growing(instance: Instance) -> list[Path]:
    """The files of all formats that are being made, and those that grow in the bucket."""
    found = {path.suffix: path for path in (instance.data_dir / "work").rglob("recording.*") if path.suffix in BEHIND}
    return [path for path in found.values() if path.stat().st_size]


def copies(paths: list[Path], directory: Path) -> list[Path]:
    """Copies of files as they are now, a playlist with what it names."""
    for path in paths:
        target = directory / path.suffix[1:]
        target.mkdir(parents=True)
        shutil.copy(path, target)
        if path.suffix == ".m3u8":
            text = (target / path.name).read_text()
            for name in text.splitlines():
                if name and not name.startswith("#"):
                    shutil.copy(path.with_name(name), target)
            if END not in text:  # else libav waits for more, as a player of a live stream does
                (target / path.name).write_text(text + END)
    return sorted(directory.rglob("recording.*"))


class Held:
    """A file of which copies are taken until there is enough in them."""

    def __init__(self, instance: Instance, suffix: str, directory: Path, media: Media) -> None:
        self._instance = instance
        self._suffix = suffix
        self._directory = directory
        self._media = media
        self.reached: list[float] = []

    def reaches(self) -> float:
        """Media time of the last packet now."""
        paths = [path for path in growing(self._instance) if path.suffix == self._suffix]
        found = [
            self._media.time(number)
            for path in copies(paths, self._directory / str(len(self.reached)))
            for number in playable(path, self._media)
        ]
        self.reached.append(max(found, default=0.0))
        return self.reached[-1]


def playable(path: Path, media: Media) -> list[int]:
    """The numbers of the packets, all of which decode. What is being written may be cut short, and does not count."""
    whole = 0
    try:
        file = av.open(str(path))
    except (av.InvalidDataError, av.EOFError):
        return []  # nothing but the opening yet
    with file:
        for one in file.streams:
            one.codec_context.thread_count = 1
        for packet in file.demux():
            if packet.is_corrupt:
                break
            packet.decode()
            whole += packet.size > 0
    found = numbers_in(path, media, whole)
    assert len(found) == whole
    for kind in (True, False):
        numbers = [number for number in found if (media.packets[number].tag.kind == 9) is kind]
        for before, after in pairwise(numbers):
            assert after > before, path
    return found


def boxes(path: Path) -> list[bytes]:
    """The types of the outermost boxes of an MP4 file (ISO/IEC 14496-12, 4.2)."""
    found, data, place = [], path.read_bytes(), 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4])
        found.append(data[place + 4 : place + 8])
        size = int.from_bytes(data[place + 8 : place + 16]) if size == 1 else size
        place += size if size else len(data)
    return found


def check_ordinary(instance: Instance, stream: str, media: Media) -> None:
    """What every player expects: an MP4 with one index and no fragments, a playlist that ends, an FLV with a length."""
    [task] = instance.tasks(stream)
    files = {instance.path(file).suffix: instance.path(file) for file in instance.files(task["id"])}
    assert set(files) == set(BEHIND)
    numbers = {suffix: sorted(numbers_in(path, media)) for suffix, path in files.items()}
    assert numbers[".flv"] == numbers[".mp4"] == numbers[".m3u8"]
    for path in files.values():
        assert_sound(path)
    assert boxes(files[".mp4"]).count(b"moov") == 1
    assert b"moof" not in boxes(files[".mp4"])
    playlist = files[".m3u8"].read_text()
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in playlist
    assert playlist.endswith(END)
    with av.open(str(files[".flv"])) as flv:
        assert flv.duration == pytest.approx(1_000_000 * len(numbers[".flv"]) / packets_per_second(media), rel=0.1)


def packets_per_second(media: Media) -> float:
    return len(media.packets) / media.time(len(media.packets) - 1)
