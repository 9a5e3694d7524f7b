"""What strangers and bad publishers can cost on the RTMP port: memory, processor time, and nothing of other streams."""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from livereel.amf import amf0
from livereel.rtmp.chunks import MESSAGE_MAX, ChunkWriter
from livereel.testing.rtmp_client import PublisherBytes
from tests.acceptance.api import DOMAIN
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import wait_until
from tests.faults.attack import Drip, Peer, all_closed, bounded, chunk_size, message, publisher, refused_for_number
from tests.faults.bystander import Bystander
from tests.faults.encoders import Crew
from tests.faults.instance import PATIENCE, Instance
from tests.faults.numbered import Media

CONNECTIONS_MAX = 300
EACH = 50  # peers of each kind
#: Seconds: short, since tests wait for them, and longer than the machine holds up a peer that is in a hurry.
TIMEOUTS = {"HANDSHAKE_TIMEOUT": "6", "PUBLISH_TIMEOUT": "8", "IDLE_TIMEOUT": "60"}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory, crew: Crew, numbered: Media) -> Iterator[Instance]:
    """A server that records a stream all the while; the recording must be whole at the end."""
    receiver = Receiver()
    server = Instance(
        tmp_path_factory.mktemp("attacked"),
        receiver,
        LIVEREEL_RTMP__MAX_CONNECTIONS=str(CONNECTIONS_MAX),
        **{f"LIVEREEL_RTMP__{name}": value for name, value in TIMEOUTS.items()},
    )
    try:
        server.set_up()
        bystander = Bystander(server, crew, numbered)
        yield server
        bystander.check()
        server.check_logs()
    finally:
        server.clean_up()
        receiver.close()


def control(kind: int, number: int) -> bytes:
    return message(kind, struct.pack(">I", number), chunk_stream=2)


def test_peers_that_never_publish_take_little_and_are_shown_the_door(attacked: Instance) -> None:
    """Whatever they announce, begin or drip: 2 GiB chunks, messages that never end, handshakes, nothing at all."""
    announced = b"\x04\0\0\0" + MESSAGE_MAX.to_bytes(3, "big") + b"\x09\1\0\0\0"
    unfinished = message(9, bytes(200_000), chunk_size=65536)[:-1]
    openings = {
        "declares": chunk_size(0x7FFFFFFF, 128) + announced + bytes(64),
        "holds back the last byte": chunk_size(65536, 128) + unfinished,
        "stops before publish": PublisherBytes("live", "idle").connect(),
    }
    with bounded(attacked) as account:
        peers = [Peer(attacked.rtmp_port) for _ in range(3 * EACH)]
        for number, peer in enumerate(peers):
            peer.send(list(openings.values())[number % 3])
        strangers = [Peer(attacked.rtmp_port, shake=False) for _ in range(2 * EACH)]
        with Drip([peer.socket for peer in strangers[:EACH]], b"\x03" + bytes(1000)):
            all_closed(peers + strangers)
        account(sum(peer.sent for peer in peers + strangers))


def test_too_long_a_message_ends_the_connection_at_once(attacked: Instance) -> None:
    with bounded(attacked, growth=32) as account, Peer(attacked.rtmp_port) as peer:
        peer.send(b"\x04\0\0\0\xff\xff\xff\x09\1\0\0\0")
        peer.wait_closed()
        account(peer.sent)


@pytest.mark.parametrize("how", ["plain", "extended", "interleaved"])
def test_tiny_chunks(attacked: Instance, how: str) -> None:
    """Every byte of media with a header of its own."""
    size = 150_000
    one, other = (
        ChunkWriter(1).write(stream, (9, 0x1000000 if how == "extended" else 1, 1, b"\x27\1" + bytes(size)))
        for stream in (4, 6)
    )
    wire = one
    if how == "interleaved":
        wire = one[:13] + other[:13] + b"\xc4\0\xc6\0" * (size + 1)
    with bounded(attacked) as account, publisher(attacked, f"tiny-{how}") as peer:
        assert peer.send(chunk_size(1) + wire + chunk_size(4096, 1) + message(8, b"\xaf\1x"))
        account(peer.sent)
        assert peer.is_open()
        read_up_to(attacked, peer)


def test_a_flood_of_tiny_messages_is_not_kept(attacked: Instance) -> None:
    """A key frame, then bytes of one message each: in memory they are a hundred times what they are on the wire."""
    with bounded(attacked) as account, publisher(attacked, "flood") as peer:
        assert peer.send(message(9, b"\x17\1\0\0\0k") + message(8, b"\xaf", chunk_stream=5))
        for _ in range(20):
            assert peer.send(b"\xc5\xaf" * 50_000)
        account(peer.sent)
        read_up_to(attacked, peer)


def test_sequence_headers_are_cheap_to_refuse(attacked: Instance) -> None:
    """Parameter sets that ask for as many numbers as they can."""
    endless = b"\x67\x42\0\x1e\xd7\x00\x00\x1f\xff" + b"\xff" * 500
    lists = b"\x67\x64\0\x1e\xb6" + b"\xff" * 500
    wire = bytearray()
    for number, nal in enumerate([endless, lists] * 300):
        record = b"\1\x42\0\x1e\xff\xe1" + len(nal).to_bytes(2, "big") + nal + struct.pack(">I", number)
        wire += message(9, b"\x17\0\0\0\0" + record, time=number)
    with bounded(attacked, growth=32) as account, publisher(attacked, "headers") as peer:
        assert peer.send(bytes(wire))
        account(peer.sent)
        read_up_to(attacked, peer)


def test_many_chunk_streams(attacked: Instance) -> None:
    with bounded(attacked, growth=32) as account, publisher(attacked, "channels") as peer:
        for number in range(40):
            peer.send(message(9, bytes(100_000), chunk_stream=3 + number)[:3000])
        peer.wait_closed()
        account(peer.sent)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x0a\0\0\0\1" * 12_000,
        b"\x03\0\1a" * 15_000,
        b"\x0a\xff\xff\xff\xff" + b"\5" * 60_000,
        b"\x02\0\7connect\0" + bytes(8) + b"\x11\x09\x09\1\6\x87\x7f" + b"s" * 511 + b"\6\0" * 900,
        b"\x0c\xff\xff\xff\xff" + bytes(1000),
    ],
    ids=["nested arrays", "nested objects", "many members", "references", "long string"],
)
def test_hostile_commands(attacked: Instance, payload: bytes) -> None:
    wire = chunk_size(65536, 128) + ChunkWriter(65536).write(3, (20, 0, 0, payload))
    with bounded(attacked, growth=32) as account:
        peers = [Peer(attacked.rtmp_port) for _ in range(20)]
        for peer in peers:
            peer.send(wire)
            account(peer.sent)
        all_closed(peers)


def test_metadata_in_an_accepted_publish(attacked: Instance) -> None:
    values = amf0.encode("onMetaData", {f"member{number}": "x" * 50 for number in range(900)})
    with bounded(attacked) as account, publisher(attacked, "metadata") as peer:
        for number in range(30):
            assert peer.send(message(18, values + amf0.encode(float(number)), chunk_stream=5))
        account(peer.sent)
        read_up_to(attacked, peer)


def test_more_connections_than_there_may_be(attacked: Instance) -> None:
    def refused() -> int:
        return refused_for_number(attacked, "connection_refused", CONNECTIONS_MAX)

    def come() -> bool:
        """So many at once; False if the first had been there for too long when the last came."""
        before = refused()
        with contextlib.ExitStack() as stack:
            number = CONNECTIONS_MAX + 100
            peers = [stack.enter_context(Peer(attacked.rtmp_port, shake=False)) for _ in range(number)]
            # One place is the bystander's. Who is too many is closed without a word; so is who says nothing, but later.
            assert all(peer.wait_closed() == b"" for peer in peers[CONNECTIONS_MAX:])
        return refused() - before >= 100

    with bounded(attacked):
        wait_until(come, PATIENCE, "peers to be refused for their number")

    def let_in() -> bool:
        with contextlib.suppress(ConnectionError):
            publisher(attacked, "after-many").socket.close()
            return True
        return False

    wait_until(let_in, PATIENCE, "room for a publisher")


def test_answers_that_nobody_reads(attacked: Instance) -> None:
    """Pings and commands, each of which wants an answer."""
    pings = message(4, b"\0\6" + bytes(4), chunk_stream=2) * 20_000
    calls = ChunkWriter(4096).write(3, (20, 0, 0, amf0.encode("releaseStream", 2.0, None, "x"))) * 10_000
    for number, wire in enumerate((pings, calls)):
        with bounded(attacked, growth=32) as account, publisher(attacked, f"deaf-{number}", window=4096) as peer:
            while peer.sent < 40 * len(wire) and peer.send(wire):
                pass
            assert peer.sent < 40 * len(wire), "the server never hung up"
            account(peer.sent)


@pytest.mark.parametrize("wire", [control(2, 4) * 40_000, message(99, bytes(100)) * 6000], ids=["aborts", "unknown"])
def test_messages_of_no_use(attacked: Instance, wire: bytes) -> None:
    with bounded(attacked, growth=32) as account, publisher(attacked, f"useless-{wire[6]}") as peer:
        assert peer.send(wire)
        account(peer.sent)
        read_up_to(attacked, peer)


def test_an_aborted_message_leaves_the_rest_in_step(attacked: Instance) -> None:
    """What is sent after Abort is understood: the end of the publish is answered."""
    with publisher(attacked, "aborts") as peer:
        begun = message(9, bytes(20_000))[:9000]
        assert peer.send(begun[: 12 + 4096 + 1 + 4096] + control(2, 4) + message(9, b"\x17\1\0\0\0k"))
        read_up_to(attacked, peer)


def read_up_to(server: Instance, peer: Peer) -> None:
    """Everything sent so far has been taken: the server answers the end of the publish, and the connection is good."""
    assert peer.send(PublisherBytes("live", f"x?vhost={DOMAIN}").closing())
    said = b""
    while b"NetStream.Unpublish.Success" not in said:
        said += peer.hear()


def test_the_working_directory_is_small(attacked: Instance) -> None:
    """Nobody recorded what was sent here, so nothing of it is on the disk."""
    spools = {path.name for path in Path(attacked.data_dir / "spool").iterdir() if path.is_dir()}
    assert len(spools) == 1  # the bystander's
