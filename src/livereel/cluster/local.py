"""The cluster of one node: ownership is a set, asking the owner is a plain call."""

from livereel.cluster.port import Answer, Command, Handler
from livereel.domain.errors import ShuttingDown
from livereel.domain.keys import StreamKey


class LocalCluster:
    """`cluster.port.Cluster` for a single node."""

    def __init__(self, node: str) -> None:
        self.node = node
        self._owned: set[StreamKey] = set()
        self._handler: Handler | None = None

    async def claim(self, key: StreamKey) -> bool:
        """Become the owner of `key`; False if a publisher of it is here already."""
        if key in self._owned:
            return False
        self._owned.add(key)
        return True

    async def release(self, key: StreamKey) -> None:
        """Give the stream up; harmless if it is not owned."""
        self._owned.discard(key)

    async def owner(self, key: StreamKey) -> str | None:
        """This node or nobody."""
        return self.node if key in self._owned else None

    async def ask(self, command: Command) -> Answer:
        """Call the handler of this node; raises what it raises."""
        if self._handler is None:
            raise ShuttingDown("this node does not take commands (yet, or any more)")
        return await self._handler(command)

    def serve(self, handler: Handler) -> None:
        """Take the commands."""
        self._handler = handler
