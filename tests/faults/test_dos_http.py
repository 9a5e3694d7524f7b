"""What strangers can cost on the port of the API: memory, processor time, and nothing of recordings."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from livereel.api.auth.body import BODIES_MAX, BODY_MAX
from tests.acceptance.api import send
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import wait_until
from tests.faults.attack import MIB, Drip, bounded, refused_for_number
from tests.faults.bystander import Bystander
from tests.faults.encoders import Crew
from tests.faults.instance import PATIENCE, Instance
from tests.faults.numbered import Media

CONNECTIONS_MAX = 60
#: Seconds: short, since tests wait for it, and longer than the machine holds up a request that is in a hurry.
REQUEST_TIMEOUT = "6"
CREDENTIALS = "X-Auth-Token: nobody's\r\n"


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory, crew: Crew, numbered: Media) -> Iterator[Instance]:
    """A server that records a stream all the while; the recording must be whole at the end."""
    receiver = Receiver()
    limits = {
        "LIVEREEL_API__MAX_CONNECTIONS": str(CONNECTIONS_MAX),
        "LIVEREEL_API__REQUEST_TIMEOUT": REQUEST_TIMEOUT,
    }
    server = Instance(tmp_path_factory.mktemp("attacked"), receiver, **limits)
    try:
        server.set_up()
        bystander = Bystander(server, crew, numbered)
        yield server
        wait_until(lambda: answers(server), PATIENCE, "the API to be free again")
        bystander.check()
        server.check_logs()
    finally:
        server.clean_up()
        receiver.close()


def answers(server: Instance) -> bool:
    with contextlib.suppress(OSError):
        return send(address(server), "GET", "/healthz", {}).status == 200
    return False


def address(server: Instance) -> str:
    return server.endpoint.removeprefix("http://")


def connect(server: Instance) -> socket.socket:
    host, _, port = address(server).partition(":")
    return socket.create_connection((host, int(port)), PATIENCE)


def answer(sock: socket.socket) -> bytes:
    """What the server says until it hangs up."""
    said = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := sock.recv(65536):
            said += data
    return bytes(said)


def test_slow_requests_are_ended(attacked: Instance) -> None:
    """Nothing, a header now and then, a body now and then."""
    body = f"POST /v1/x/record/control HTTP/1.1\r\nHost: x\r\n{CREDENTIALS}Content-Length: 5000\r\n\r\n".encode()
    with bounded(attacked, growth=32), contextlib.ExitStack() as stack:
        silent, headers, bodies = ([stack.enter_context(connect(attacked)) for _ in range(15)] for _ in range(3))
        for sock in headers:
            sock.send(b"GET / HTTP/1.1\r\n")
        for sock in bodies:
            sock.send(body)
        with Drip(headers + bodies, b"X-Filler: x\r\n" * 500, 0.05):
            assert all(not answer(sock) for sock in silent + headers + bodies)


def test_a_request_in_time_is_answered_on_a_connection_that_was_idle(attacked: Instance) -> None:
    """The deadline is the request's: connections between requests may be quiet for longer."""
    idle = threading.Event()
    with contextlib.closing(http.client.HTTPConnection(address(attacked), timeout=PATIENCE)) as connection:
        connection.connect()
        first = connection.sock
        for pause in (float(REQUEST_TIMEOUT) + 1, 0.0):
            connection.request("GET", "/healthz")
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())) == (200, {"status": "ok"})
            idle.wait(pause)
        assert connection.sock is first


def test_more_connections_than_there_may_be(attacked: Instance) -> None:
    def refused() -> int:
        return refused_for_number(attacked, "api_connection_refused", CONNECTIONS_MAX)

    def come() -> bool:
        """So many at once; False if the first had been there for too long when the last came."""
        before = refused()
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(connect(attacked)) for _ in range(CONNECTIONS_MAX + 40)]
            # Who says nothing is closed without a word, too, but later.
            assert all(answer(sock) == b"" for sock in socks[CONNECTIONS_MAX:])
        return refused() - before >= 40

    with bounded(attacked, growth=32):
        wait_until(come, PATIENCE, "connections to be refused for their number")
    wait_until(lambda: answers(attacked), PATIENCE, "the API to be free again")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n", b"HTTP/1.1 494"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Many: xxxxxxxxxx\r\n" * 9000 + b"\r\n", b"HTTP/1.1 494"),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 414"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Endless: " + b"x" * (2 * MIB), b"HTTP/1.1 400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(5000), b"HTTP/1.1 400"),
        (b"\0" * 300_000, b"HTTP/1.1 400"),
    ],
    ids=["long header", "many headers", "long path", "endless header", "TLS", "zeros"],
)
def test_heads_that_are_too_large(attacked: Instance, head: bytes, status: bytes) -> None:
    with bounded(attacked, growth=32) as account:
        for _ in range(5):
            with connect(attacked) as sock:
                with contextlib.suppress(OSError):
                    sock.sendall(head)
                    sock.shutdown(socket.SHUT_WR)
                account(len(head))
                said = answer(sock)
                # Who is still sending when it is refused may lose the answer to a reset.
                assert said.startswith(status) or (not said and len(head) > 200_000), said[:200]


def test_large_bodies_of_strangers_share_one_budget(attacked: Instance) -> None:
    """Each holds back the last byte of a body as large as it may be."""
    head = f"POST /v1/x/record/control HTTP/1.1\r\nHost: x\r\n{CREDENTIALS}Content-Length: {BODY_MAX}\r\n\r\n".encode()
    count = 2 * BODIES_MAX // BODY_MAX
    said: list[bytes] = []

    def run() -> None:
        with connect(attacked) as sock:
            with contextlib.suppress(ConnectionError):
                sock.sendall(head + bytes(BODY_MAX - 1))
            said.append(answer(sock))

    # Besides what they share: what a busy server reads at a time and its allocator keeps (37 MiB were seen).
    with bounded(attacked, growth=BODIES_MAX / MIB + 64) as account:
        together(run, count)
        account(count * BODY_MAX)
    refused = [each for each in said if each.startswith(b"HTTP/1.1 429")]
    assert len(refused) + said.count(b"") == count, [each[:100] for each in said]
    assert attacked.api().live("GET", "record/rules") is not None  # and there is room again


def test_chunks_of_one_byte(attacked: Instance) -> None:
    head = f"POST /v1/x/record/control HTTP/1.1\r\nHost: x\r\n{CREDENTIALS}Transfer-Encoding: chunked\r\n\r\n".encode()
    with bounded(attacked, growth=32) as account:
        for _ in range(10):
            with connect(attacked) as sock:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(head + b"1\r\nx\r\n" * 100_000)
                account(600_000)
                assert answer(sock)[:12] in (b"HTTP/1.1 400", b"")


def test_chunks_of_usual_size_are_taken(attacked: Instance) -> None:
    body = json.dumps({"auth": {"identity": {"methods": ["password"]}}, "x": "y" * 40_000}).encode()
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(part), part) for part in (body[at : at + 64] for at in range(0, len(body), 64))
    )
    head = b"POST /v3/auth/tokens HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    with connect(attacked) as sock:
        sock.sendall(head + chunks + b"0\r\n\r\n")
        assert b'"error"' in answer(sock)  # IAM's own words: it has read the body


@pytest.mark.parametrize(
    "body",
    [b"[" * 60_000, b'{"a":' * 12_000, b"[]," * 4_000_000, b"1" * 60_000, b'"' + b"\\ud800" * 10_000 + b'"'],
    ids=["nested arrays", "nested objects", "many arrays", "long number", "half characters"],
)
def test_hostile_log_ins(attacked: Instance, body: bytes) -> None:
    """The one body that is parsed before anybody knows whose it is."""
    with bounded(attacked, growth=48) as account:
        for _ in range(5):
            with contextlib.suppress(ConnectionError):  # refused before all of it was sent
                status = send(address(attacked), "POST", "/v3/auth/tokens", {}, body).status
                assert 400 <= status < 500, status
            account(len(body))


def test_answers_that_nobody_reads(attacked: Instance) -> None:
    request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with bounded(attacked), contextlib.ExitStack() as stack:
        for _ in range(10):
            sock = stack.enter_context(connect(attacked))
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                while True:
                    sock.send(request * 1000)
        assert answers(attacked)


def together(run: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
