"""Taking out of a live stream what one picture needs: the decoder header, a key frame, maybe frames after it."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from livereel.domain.media import TAG_VIDEO, Tag, VideoCodec
from livereel.flv.codecs import parse_video
from livereel.flv.tags import FlvError

#: Bytes held for one picture. A key frame of 8K at the highest usual quality has about 4 MB.
PICTURE_MAX_BYTES: Final = 8 * 1024 * 1024


class CodedPicture(NamedTuple):
    """Coded frames as a decoder wants them: the first is a key frame, the last is the picture.

    `header` is the codec's configuration record, empty for codecs that need none.
    """

    codec: VideoCodec
    header: bytes
    frames: list[bytes]


class PictureTap:
    """A `TagSink` that calls `done` once, with the key frame and the `after` frames that follow it.

    Fewer frames are given when the group of pictures ends sooner or grows beyond PICTURE_MAX_BYTES; None when the
    stream's video cannot be read.
    """

    congested = False

    def __init__(self, after: int, done: Callable[[CodedPicture | None], None]) -> None:
        self._wanted = after + 1
        self._done = done
        self._over = False
        self._codec = VideoCodec.OTHER
        self._header = b""
        self._frames: list[bytes] = []
        self._size = 0

    def begin(self, headers: Sequence[Tag], wall: float, publish: str = "") -> None:
        """Take the sequence header among `headers`."""
        for tag in headers:
            if tag.kind == TAG_VIDEO:
                self._take(tag.payload)

    def append(self, tags: Sequence[Tag], wall: float) -> None:
        """Take video frames until there are enough."""
        for tag in tags:
            if self._over:
                return
            if tag.kind == TAG_VIDEO:
                self._take(tag.payload)

    def _take(self, body: bytes) -> None:
        try:
            found = parse_video(body)
        except FlvError:
            self._finish(None)
            return
        if found.is_command or found.is_end_of_sequence:
            return
        if self._frames and (found.is_sequence_header or found.is_keyframe):
            self._finish(self._picture())  # the group is over, with fewer frames than wanted
            return
        data = body[found.data_offset : found.data_end]
        if found.is_sequence_header:
            self._codec, self._header = found.codec, data
            return
        if self._frames and self._size + len(data) > PICTURE_MAX_BYTES:
            self._finish(self._picture())
            return
        if len(data) > PICTURE_MAX_BYTES or found.codec is VideoCodec.OTHER:
            self._finish(None)
            return
        self._codec = found.codec
        self._frames.append(data)
        self._size += len(data)
        if len(self._frames) == self._wanted:
            self._finish(self._picture())

    def _picture(self) -> CodedPicture:
        return CodedPicture(self._codec, self._header, self._frames)

    def _finish(self, picture: CodedPicture | None) -> None:
        self._over = True
        self._done(picture)
