"""What takes tags out of a stream."""

from collections.abc import Sequence
from typing import Protocol

from livereel.domain.media import Tag


class TagSink(Protocol):
    """Takes the tags of one stream in order. Neither call blocks and neither raises.

    `wall` is the Unix time at which the first of the tags arrived.
    """

    @property
    def congested(self) -> bool:
        """True while the sink wants no more tags: whoever feeds the stream pauses, tags handed over are kept."""
        ...

    def begin(self, headers: Sequence[Tag], wall: float, publish: str = "") -> None:
        """The tags that follow begin with a key frame (audio-only streams: with audio).

        `headers` are the newest onMetaData and sequence headers, with the timestamp of the tag that follows. Called
        again, with the id of its `publish`, when another push of the stream takes over from the one before.
        """
        ...

    def append(self, tags: Sequence[Tag], wall: float) -> None:
        """Take `tags`; called only after `begin`."""
        ...
