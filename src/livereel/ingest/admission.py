"""Who may push: asked by ingest, answered by `control.publishing`."""

from typing import Protocol

from livereel.rtmp.url import PublishTarget
from livereel.streams.stream import Stream


class Admission(Protocol):
    """Opens and closes streams for publishers."""

    async def admit(self, target: PublishTarget, client_ip: str, node_ip: str) -> Stream:
        """The stream that takes what the publisher sends. Raises PublishRefused with what the encoder is told."""
        ...

    async def ended(self, stream: Stream, reason: str) -> None:
        """The publish is over and all its tags were fed. Called once for each admitted stream."""
        ...
