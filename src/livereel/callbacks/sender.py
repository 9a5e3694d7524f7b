"""One HTTP attempt: POST a body to a URL that somebody else configured, with bounds on everything that comes back."""

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from livereel.callbacks.guard import TargetGuard

ANSWER_MAX_BYTES = 64 * 1024  # of an answer's body are read; a receiver has nothing to tell us
ANSWER_PATIENCE = 1.0  # seconds for the body after a success status: the message has arrived by then
EXCERPT_LENGTH = 120  # characters of a refusing answer kept in the delivery log
#: Threads that look up names. A name server that never answers holds one for some seconds; others go on.
RESOLVER_THREADS = 16


class Answer(NamedTuple):
    """What came of an attempt. `status` is None if there was no HTTP answer; `error` is None on success."""

    status: int | None
    error: str | None
    duration: float  # seconds
    retry_after: float = 0.0  # seconds, as the receiver asked
    content: bytes = b""  # beginning of the body of a success


class Sender:
    """Makes attempts. Create inside a running event loop; `close` when done."""

    def __init__(self, guard: TargetGuard, timeout: float) -> None:
        self._timeout = timeout
        self._resolver = _Resolver()
        connector = aiohttp.TCPConnector(
            socket_factory=guard.open_socket,
            resolver=self._resolver,
            # A receiver that moves is found at the next attempt; the system's own resolver has a cache.
            use_dns_cache=False,
            # A connection that is kept may be closed by the other side just when a message is sent on it, which would
            # cost that message a retry; messages to one host are rare.
            force_close=True,
            limit=0,  # the dispatcher bounds how many there are
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # the answer's size is bounded as it comes over the wire
            trust_env=False,  # a proxy would connect on our behalf, past the guard
        )

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """POST once. Never raises for what the receiver or the network does."""
        began = time.monotonic()
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                status = response.status
                if 200 <= status < 300:
                    content = await _read(response, ANSWER_PATIENCE)
                    return Answer(status, None, time.monotonic() - began, content=content)
                excerpt = _printable(await _read(response, self._timeout))
                error = f"answered {status}{_hint(status)}{f': {excerpt}' if excerpt else ''}"
                return Answer(status, error, time.monotonic() - began, _retry_after(response))
        except TimeoutError:
            error = f"no answer within {self._timeout:g} s"
        except aiohttp.ClientConnectorDNSError as problem:
            error = f"the host name cannot be resolved: {problem.os_error}"
        except aiohttp.ClientConnectorError as problem:
            error = f"cannot connect: {problem.os_error}"
        except aiohttp.ServerDisconnectedError:
            error = "the connection was closed without an answer"
        except aiohttp.InvalidURL:
            error = "the URL cannot be used"
        except Exception as problem:  # whatever the client makes of hostile bytes is the receiver's doing
            error = f"no usable answer: {type(problem).__name__} {_printable(str(problem).encode())}"
        return Answer(None, error, time.monotonic() - began)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
        await self._resolver.close()


class _Resolver(AbstractResolver):
    """Looks up names on threads of its own: the event loop's executor has files to write and must not wait for DNS."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="callback-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port, family)
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: int) -> list[Any]:
    return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


async def _read(response: aiohttp.ClientResponse, patience: float) -> bytes:
    """The beginning of the body, as far as it comes; what goes wrong here does not matter any more."""
    content = bytearray()
    try:
        async with asyncio.timeout(patience):
            async for piece in response.content.iter_any():
                content += piece
                if len(content) >= ANSWER_MAX_BYTES:
                    break
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        pass
    return bytes(content[:ANSWER_MAX_BYTES])


def _printable(content: bytes) -> str:
    text = content[: EXCERPT_LENGTH * 4].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:EXCERPT_LENGTH]


def _hint(status: int) -> str:
    return " (redirects are not followed)" if 300 <= status < 400 else ""


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """Seconds of a `Retry-After` header; its date form is ignored (RFC 9110 section 10.2.3 allows both)."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0.0
