"""Where a message goes and how it is signed, as configured now: who corrects a wrong URL gets what is waiting.

Every kind of message has a finder here. What expires (signatures, download links) is made for one attempt.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from livereel.callbacks.payloads import CALLBACK, NOTIFICATION
from livereel.callbacks.pulls import PULL
from livereel.callbacks.signing import signed_callback, signed_notification
from livereel.callbacks.snapshots import SNAPSHOT, signed_snapshot
from livereel.catalogue.port import UnitOfWork
from livereel.domain.messages import OutboxMessage

Body = dict[str, Any]

#: A link to an object that works without credentials: bucket, object key, now (Unix seconds).
Link = Callable[[str, str, float], str]


#: Kinds of messages whose target is a matter of their domain alone.
_OF_DOMAIN = frozenset((NOTIFICATION, CALLBACK))


def source_of(message: OutboxMessage) -> tuple[str, str] | None:
    """Messages with the same source go to the same target; None where that is not so simple."""
    return (message.kind, message.domain) if message.kind in _OF_DOMAIN else None


@dataclass(frozen=True, slots=True)
class Target:
    """`sign` completes the stored body for an attempt at `now`. Without `key` nothing is signed."""

    url: str
    key: str
    sign: Callable[[Body, float], Body]


class Targets:
    """Finds the target of a message; `link` makes the download links of recording callbacks."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._finders: dict[str, Callable[[UnitOfWork, OutboxMessage], Awaitable[Target | None]]] = {
            NOTIFICATION: _notification,
            CALLBACK: self._callback,
            SNAPSHOT: self._snapshot,
            PULL: _pull,
        }

    async def find(self, work: UnitOfWork, message: OutboxMessage) -> Target | None:
        """The target; None if nobody wants the message any more."""
        return await self._finders[message.kind](work, message)

    async def _callback(self, work: UnitOfWork, message: OutboxMessage) -> Target | None:
        config = await work.callbacks.by_domain(message.domain)
        if config is None or config.project_id != message.project_id or not config.url:
            return None

        def sign(body: Body, now: float) -> Body:
            if "download_url" in body:
                body = body | {"download_url": self._link(body["obs_bucket"], body["obs_object"], now)}
            return signed_callback(body, config.key, config.sign_type, now)

        return Target(config.url, config.key, sign)

    async def _snapshot(self, work: UnitOfWork, message: OutboxMessage) -> Target | None:
        config = await work.snapshots.get(message.domain, message.body["app"])
        if config is None or config.project_id != message.project_id or not config.callback_on:
            return None

        def sign(body: Body, now: float) -> Body:
            address = body["obs_addr"]
            if config.access_domain:
                path = quote(address["object"], safe="/")
                url = f"{config.access_protocol or 'http'}://{config.access_domain}/{path}"
            else:
                url = self._link(address["bucket"], address["object"], now)
            return signed_snapshot(body | {"snapshot_url": url}, config.auth_key, now)

        return Target(config.callback_url, config.auth_key, sign)


async def _pull(_work: UnitOfWork, message: OutboxMessage) -> Target:
    # A task tells of its own end, when it may be gone already: the message bears all that there is.
    return Target(message.url, "", lambda body, _now: body)


async def _notification(work: UnitOfWork, message: OutboxMessage) -> Target | None:
    config = await work.notifications.get(message.domain)
    if config is None or not config.url:
        return None
    domain = await work.domains.get(message.domain)
    if domain is not None and domain.project_id != message.project_id:
        return None  # the name has gone to another project, which must not hear of pushes to the former one
    return Target(config.url, config.key, lambda body, now: signed_notification(body, config.key, now))
