"""Who may push: asked by ingest, answered by `control.publishing`."""

from typing import Protocol

from livereel.rtmp.url import PublishTarget
from livereel.streams.standby import Push


class Admission(Protocol):
    """Opens and closes pushes for publishers."""

    async def admit(self, target: PublishTarget, client_ip: str, node_ip: str) -> Push:
        """What takes what the publisher sends. Raises PublishRefused with what the encoder is told."""
        ...

    async def ended(self, push: Push, reason: str) -> None:
        """The publish is over and all its tags were fed. Called once for each admitted push."""
        ...
