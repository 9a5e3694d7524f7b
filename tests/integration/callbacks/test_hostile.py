"""Receivers that lie, drip, flood or point inward."""

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from livereel.domain.messages import MessageState
from tests.integration.callbacks.conftest import LOOPBACK, Outbox, Receiver, Reply

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw_server(handler: Handler) -> AsyncIterator[str]:
    """A TCP server that need not speak HTTP; gives its URL."""

    handling: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        task = asyncio.create_task(guarded(reader, writer))
        handling.add(task)
        task.add_done_callback(handling.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        # Nothing of it is left when the loop is closed.
        server.close()
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


async def first_error(outbox: Outbox, url: str, timeout: float = LOOPBACK.timeout) -> str:
    """What the first attempt at `url` came to."""
    await outbox.configure("d", url)
    message_id = await outbox.add("d")
    await outbox.dispatch(replace(LOOPBACK, timeout=timeout))
    message = await outbox.until_attempts(message_id, 1)
    assert message.state is MessageState.PENDING
    first, *others = await outbox.deliveries(message_id)
    assert others or message.last_error == first.error
    assert first.error is not None
    return str(first.error)


async def test_redirects_are_not_followed(outbox: Outbox, receiver: Receiver) -> None:
    async def redirect(_request: web.Request) -> Reply:
        return web.Response(status=307, headers={"Location": receiver.url + "/other"})

    receiver.behaviour = redirect
    assert await first_error(outbox, receiver.url) == "answered 307 (redirects are not followed)"
    assert {request.path for request in receiver.requests} == {"/hook"}


GARBAGE = [
    b"",
    b"\r\n",
    b"\0" * 4096,
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"HTTP/1.1 999999 x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
    b"HTTP/1.1 200 " + b"a" * 100_000,
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_is_a_failed_attempt(outbox: Outbox, garbage: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(garbage)
        await writer.drain()

    async with raw_server(answer) as url:
        assert await first_error(outbox, url)


async def test_a_reset_is_a_failed_attempt(outbox: Outbox) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with raw_server(reset) as url:
        assert await first_error(outbox, url)


async def test_headers_that_drip_run_into_the_timeout(outbox: Outbox) -> None:
    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for n in range(1000):
            writer.write(f"X-{n}: y\r\n".encode())
            await writer.drain()
            await asyncio.sleep(0.1)

    async with raw_server(drip) as url:
        assert await first_error(outbox, url, timeout=1.0) == "no answer within 1 s"  # dripping on it takes 100 s


async def test_an_endless_refusal_is_read_to_a_bound(outbox: Outbox) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 No\r\n\r\n")
        while sent < 500_000_000:
            writer.write(b"a" * 65536)
            await writer.drain()
            sent += 65536

    async with raw_server(flood) as url:
        error = await first_error(outbox, url)
    assert error == "answered 500: " + "a" * 120
    assert sent < 20_000_000  # what socket buffers take, no more


async def test_a_success_whose_body_drips_is_a_success(outbox: Outbox) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.1)

    async with raw_server(drip) as url:
        await outbox.configure("d", url)
        await outbox.add("d")
        await outbox.dispatch()
        await outbox.until(MessageState.DELIVERED, 1)  # all of the body takes 100 s


async def test_a_compressed_answer_is_not_unpacked(outbox: Outbox, receiver: Receiver) -> None:
    async def bomb(_request: web.Request) -> Reply:
        return web.Response(status=500, body=gzip.compress(b"a" * 10_000_000), headers={"Content-Encoding": "gzip"})

    receiver.behaviour = bomb
    assert "aaaa" not in await first_error(outbox, receiver.url)


async def test_cookies_and_keep_alive_are_not_kept(outbox: Outbox, receiver: Receiver) -> None:
    async def cookie(_request: web.Request) -> Reply:
        return web.Response(headers={"Set-Cookie": "a=b"})

    receiver.behaviour = cookie
    await outbox.configure("d", receiver.url)
    await outbox.add("d")
    await outbox.add("d")
    await outbox.dispatch()
    await outbox.until(MessageState.DELIVERED, 2)
    assert "Cookie" not in receiver.requests[1].headers


INWARD = [
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://localhost.:{port}/",
    "http://127.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://017700000001:{port}/",
    "http://0.0.0.0:{port}/",
    "http://0:{port}/",
    "http://[::1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://user:pass@127.0.0.1:{port}/",
    "http://127.0.0.1%09:{port}/",
    "http://\u2460\u2461\u2466.0.0.1:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
]


@pytest.mark.parametrize("url", INWARD)
async def test_nothing_inside_is_reached_unless_allowed(outbox: Outbox, receiver: Receiver, url: str) -> None:
    await outbox.configure("d", url.format(port=receiver.port))
    message_id = await outbox.add("d")
    await outbox.dispatch(replace(LOOPBACK, allow_private=()))
    message = await outbox.until_attempts(message_id, 1)
    assert receiver.requests == []
    assert message.last_error


async def test_a_refusal_names_the_setting(outbox: Outbox) -> None:
    await outbox.configure("d", "http://localhost:9/")
    message_id = await outbox.add("d")
    await outbox.dispatch(replace(LOOPBACK, allow_private=()))
    message = await outbox.until_attempts(message_id, 1)
    assert "is not a public address; setting callbacks.allow_private may allow it" in (message.last_error or "")


async def test_a_proxy_of_the_environment_is_not_used(
    outbox: Outbox, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, receiver.url)
    await first_error(outbox, "http://127.0.0.1:1/")
    assert receiver.requests == []


async def test_a_name_that_does_not_exist_is_told(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "no-such-host.invalid":  # a name server that is slow, or away, is not what is tested
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert (await first_error(outbox, "http://no-such-host.invalid/")).startswith("the host name cannot be resolved")
