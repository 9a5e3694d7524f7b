"""A signed mutation that arrives again has no second effect and gets the first answer again.

A signature covers method, path, query, date and body, so an equal signature is the same request: sent again by a
network, a proxy, an attacker or an impatient client. The answer is kept as long as the signature stays valid.

SDK dates have one-second resolution, so an honest client that repeats a request within a second signs it the same way.
Reads may therefore repeat freely, and a mutation that was refused may be tried again for a second ("delete" refused
because the domain is on, "off", "delete"): it had no effect yet. After that second its refusal is final, so that a
refused request that somebody kept does nothing later either.

Nobody waits for the note of an answer. It is remembered here until the note is on disk; a process that is killed in
these milliseconds may carry the request out again, as one that is killed just before it answers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import NamedTuple

import structlog
from starlette.types import Message, Scope, Send

from livereel.catalogue.port import Catalogue, SeenRequest
from livereel.domain.clock import Clock
from livereel.domain.errors import ResourceExists

log = structlog.get_logger()

MUTATIONS = frozenset({"POST", "PUT", "DELETE", "PATCH"})

CLEANING_PERIOD = 60.0  # seconds between deletions of answers whose signatures have expired

REPEAT_SECONDS = 1.0  # how long after a refusal the same signature may come from an honest client

_REPEATED = "+"  # after a signature: the answer to its repetition, which came through after a refusal

# Refused before anything was done: the same request may succeed a moment later.
_NOT_KEPT = frozenset({429, 503})


class Answer(NamedTuple):
    """A whole response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    async def send(self, send: Send) -> None:
        """Give the answer to a client."""
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": self.body})


class Recorder:
    """A `send` that collects a response instead of sending it."""

    def __init__(self) -> None:
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        elif message["type"] == "http.response.body":
            self._parts.append(bytes(message.get("body", b"")))
            self._complete = not message.get("more_body", False)

    @property
    def answer(self) -> Answer | None:
        """The response once it is complete."""
        return Answer(self._status, self._headers, b"".join(self._parts)) if self._complete else None


class Replays:
    """Answers by signature: in this process while they are made and noted, then in the catalogue."""

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._running: dict[str, asyncio.Future[Answer]] = {}  # until the answer is in the catalogue
        self._notes: set[asyncio.Task[None]] = set()
        self._refused_at: dict[str, float] = {}  # by signature, oldest first, in monotonic seconds
        self._cleaned_at: float | None = None

    async def once(
        self, scope: Scope, signature: str, expires_at: float, make: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """The answer made for this signature before, or else what `make` gives now. `expires_at` is Unix seconds."""
        running = self._running.get(signature)
        if running is not None and not (running.done() and self._just_refused(signature)):
            log.info("request_repeated", path=scope["path"], signature=signature[:16])
            return await asyncio.shield(running)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._running[signature] = future
        note = None
        try:
            answer = None if self._just_refused(signature) else await self._kept(scope, signature)
            if answer is None:
                answer = await make()
                note = self._note(signature, answer)
        except BaseException as error:
            future.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            future.exception()  # the first caller gets it; nobody else need be waiting
            self._forget(signature, future)
            raise
        future.set_result(answer)
        if note is None:
            self._forget(signature, future)
        else:
            keeping = asyncio.create_task(self._keep(note, expires_at, answer))
            self._notes.add(keeping)
            keeping.add_done_callback(self._notes.discard)
            keeping.add_done_callback(lambda _: self._forget(signature, future))
        return answer

    async def noted(self) -> None:
        """Wait until the answers given so far are in the catalogue."""
        if self._notes:
            await asyncio.wait(self._notes)

    def _forget(self, signature: str, future: "asyncio.Future[Answer]") -> None:
        if self._running.get(signature) is future:
            del self._running[signature]

    def _just_refused(self, signature: str) -> bool:
        limit = self._clock.monotonic() - REPEAT_SECONDS
        while self._refused_at and (oldest := next(iter(self._refused_at.items())))[1] <= limit:
            del self._refused_at[oldest[0]]
        return signature in self._refused_at

    def _note(self, signature: str, answer: Answer) -> str | None:
        """Under what name an answer is kept; None if it is not."""
        if answer.status in _NOT_KEPT:
            return None
        refused_before = signature in self._refused_at
        if not _is_refusal(answer.status):
            self._refused_at.pop(signature, None)
            return signature + _REPEATED if refused_before else signature
        if refused_before:
            return None
        self._refused_at[signature] = self._clock.monotonic()
        return signature

    async def _kept(self, scope: Scope, signature: str) -> Answer | None:
        async with self._catalogue.read(latest=False) as uow:
            seen = await uow.seen_requests.get(signature)
            if seen is not None and _is_refusal(seen.status):
                seen = await uow.seen_requests.get(signature + _REPEATED) or seen
        if seen is None:
            return None
        log.info("request_repeated", path=scope["path"], signature=signature[:16])
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in seen.headers.items()]
        return Answer(seen.status, headers, seen.body)

    async def _keep(self, note: str, expires_at: float, answer: Answer) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
        now = self._clock.now()
        try:
            async with self._catalogue.write(patient=True) as uow:
                if self._cleaned_at is None or now - self._cleaned_at >= CLEANING_PERIOD:
                    self._cleaned_at = now
                    await uow.seen_requests.delete_expired(now)
                await uow.seen_requests.add(SeenRequest(note, answer.status, headers, answer.body, expires_at))
        except ResourceExists:
            log.warning("request_answered_twice", signature=note[:16])
        except Exception:
            log.exception("answer_not_kept", signature=note[:16])


def _is_refusal(status: int) -> bool:
    return HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
