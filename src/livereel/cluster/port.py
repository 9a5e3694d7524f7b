"""How control reaches the node that owns a live stream. `local` is a plain call; `nats` comes with the cluster."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from livereel.domain.keys import StreamKey
from livereel.domain.recordings import ARMED_LIMIT_DEFAULT
from livereel.domain.templates import Template


class Action(StrEnum):
    """What the owner of a stream is asked to do."""

    START = "START"
    STOP = "STOP"
    CUT = "CUT"  #: end its pushes


@dataclass(frozen=True, slots=True)
class StartOptions:
    """Our extensions of START. Times are seconds; `limit` is how long an armed START holds without STOP.

    None: as the template says.
    """

    armed: bool | None = None
    pre_roll: float | None = None
    limit: float = ARMED_LIMIT_DEFAULT


@dataclass(frozen=True, slots=True)
class Command:
    """A request to the owner of `key`. START carries the template that decides over the stream.

    `reason` is what CUT tells the encoders.
    """

    action: Action
    project_id: str
    key: StreamKey
    template: Template | None = None
    options: StartOptions = StartOptions()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The owner did it; `task_id` is the task concerned, empty for CUT. Refusals are raised as domain errors."""

    task_id: str


Handler = Callable[[Command], Awaitable[Answer]]


class Cluster(Protocol):
    """Ownership of live streams and commands to their owners."""

    node: str

    async def claim(self, key: StreamKey) -> bool:
        """Become the owner of `key`; False if somebody owns it already."""
        ...

    async def release(self, key: StreamKey) -> None: ...

    async def owner(self, key: StreamKey) -> str | None:
        """The node that owns `key`, None if the stream is not live anywhere."""
        ...

    async def ask(self, command: Command) -> Answer:
        """Ask the owner of the stream; without an owner, this node. Raises what the owner's handler raises."""
        ...

    def serve(self, handler: Handler) -> None:
        """Take the commands for streams that this node owns."""
        ...
