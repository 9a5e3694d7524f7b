"""The commands that reach this node for its streams, and who carries each out."""

from livereel.cluster.port import Action, Answer, Command, Handler
from livereel.control.owner import Owner
from livereel.control.publishing import Publishing


def handler(owner: Owner, publishing: Publishing) -> Handler:
    """CUT is a matter of publishing, everything else of recording."""

    async def handle(command: Command) -> Answer:
        if command.action is Action.CUT:
            await publishing.cut(command.key, command.reason)
            return Answer("")
        return await owner.handle(command)

    return handle
