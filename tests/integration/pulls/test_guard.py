"""Pull workers and addresses that they may not connect to."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from livereel.pulls.events import Failed
from livereel.testing.source import generate_tags
from tests.integration.ingest.support import Recorder

from .conftest import Origin, Pull
from .rtsp_server import RtspServer

NOTHING: tuple[str, ...] = ()
ONE = ("127.0.0.1/32",)  # where the origins of the tests are; 127.0.0.2 is out of bounds


class Trap:
    """A server at an address that is out of bounds; nobody may ever come."""

    def __init__(self) -> None:
        self.visits = 0
        self.port = 0

    async def start(self) -> "Trap":
        self._server = await asyncio.start_server(self._caught, "127.0.0.2", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _caught(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()

    def url(self, scheme: str = "http", name: str = "a.ts") -> str:
        return f"{scheme}://127.0.0.2:{self.port}/{name}"

    def stop(self) -> None:
        self._server.close()


@pytest.fixture
async def trap() -> AsyncIterator[Trap]:
    made = await Trap().start()
    yield made
    made.stop()
    assert made.visits == 0


@pytest.mark.parametrize("scheme", ["http", "https", "rtmp", "rtmps", "rtsp", "rtsps"])
@pytest.mark.parametrize("live", [True, False])
async def test_no_protocol_reaches_it(pull: Pull, trap: Trap, scheme: str, live: bool) -> None:
    ending = await (await pull(trap.url(scheme, "live/cam"), live=live, allow_private=ONE)).ending()
    assert isinstance(ending, Failed)
    assert ending.fatal
    assert "127.0.0.2 is not a public address; setting pulls.allow_private" in ending.error


@pytest.mark.parametrize(
    "host", ["localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0x7f000001", "10.0.0.1"]
)
async def test_nothing_private_by_default(pull: Pull, origin: Origin, host: str) -> None:
    url = f"http://{host}:{origin.port}/a.mp4"
    ending = await (await pull(url, allow_private=NOTHING)).ending()
    assert isinstance(ending, Failed)
    assert ending.fatal, ending
    assert not origin.asked


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "/etc/passwd", "concat:/etc/passwd|/etc/hosts", "pipe:0", "tcp://127.0.0.1:1"]
)
async def test_no_local_files(pull: Pull, url: str) -> None:
    ending = await (await pull(url, live=True)).ending()
    assert isinstance(ending, Failed)
    assert "protocol" in ending.error


async def test_redirects_lead_nowhere_else(pull: Pull, origin: Origin, trap: Trap) -> None:
    async def elsewhere(_request: web.Request) -> web.Response:
        raise web.HTTPFound(trap.url())

    async def local(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "file:///etc/passwd"})

    origin.routes |= {"/moved": elsewhere, "/local": local}
    ending = await (await pull(origin.url("moved"), allow_private=ONE)).ending()
    assert isinstance(ending, Failed)
    assert ending.fatal
    ending = await (await pull(origin.url("local"), allow_private=ONE)).ending()
    assert isinstance(ending, Failed)


@pytest.mark.parametrize(
    "lines",
    [
        "#EXTINF:1,\n{trap}\n",
        "#EXTINF:1,\n/etc/passwd\n",
        "#EXTINF:1,\nfile:///etc/passwd\n",
        '#EXT-X-MAP:URI="{trap}"\n#EXTINF:1,\na0.ts\n',
        '#EXT-X-KEY:METHOD=AES-128,URI="{trap}"\n#EXTINF:1,\na0.ts\n',
        "#EXTINF:1,\nsubfile,,start,0,end,10,,:/etc/passwd\n",
        "#EXTINF:1,\nconcat:{trap}|{trap}\n",
        "#EXTINF:1,\nrtmp://127.0.0.2:{port}/live/cam\n",
        "#EXTINF:1,\ntcp://127.0.0.2:{port}\n",
    ],
)
async def test_playlists_lead_nowhere_else(pull: Pull, origin: Origin, trap: Trap, lines: str) -> None:
    async def playlist(_request: web.Request) -> web.Response:
        text = lines.format(trap=trap.url(), port=trap.port)
        body = f"#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n{text}#EXT-X-ENDLIST\n"
        return web.Response(text=body, content_type="application/vnd.apple.mpegurl")

    origin.routes["/evil"] = playlist
    ending = await (await pull(origin.url("evil"), allow_private=ONE)).ending()
    assert isinstance(ending, Failed)


async def test_other_formats_are_not_read(pull: Pull, origin: Origin, trap: Trap) -> None:
    """Containers that name other files: concat scripts, SDP, DASH."""
    texts = {
        "/concat": f"ffconcat version 1.0\nfile {trap.url()}\n",
        "/sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.2\r\ns=x\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n"
        f"m=video {trap.port} RTP/AVP 33\r\n",
        "/dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011">'
        f"<BaseURL>{trap.url()}</BaseURL></MPD>",
    }
    for path, text in texts.items():

        async def answer(_request: web.Request, text: str = text) -> web.Response:
            return web.Response(text=text)

        origin.routes[path] = answer
    for path in texts:
        ending = await (await pull(origin.url(path[1:]), allow_private=ONE)).ending()
        assert isinstance(ending, Failed)


async def test_rtsp_redirects_are_refused(pull: Pull, trap: Trap) -> None:
    server = await RtspServer(generate_tags(0.5, audio=None)).start()
    server.redirect = trap.url("rtsp", "cam")
    try:
        ending = await (await pull(server.url, live=True, allow_private=ONE)).ending()
    finally:
        await server.stop()
    assert isinstance(ending, Failed)
    assert "302" in ending.error


async def test_destinations_are_checked(pull: Pull, origin: Origin, ingest: Recorder, trap: Trap) -> None:
    worker = await pull(origin.url("a.mp4"), destination=trap.url("rtmp", "live/cam"), trusted=False, allow_private=ONE)
    ending = await worker.ending()
    assert isinstance(ending, Failed)
    assert (ending.fault, ending.fatal) == ("destination", True)


async def test_certificates_are_verified(pull: Pull, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        for scheme in ("https", "rtmps", "rtsps"):
            ending = await (await pull(f"{scheme}://127.0.0.1:{port}/live/cam", live=True)).ending()
            assert isinstance(ending, Failed)
            assert "certificate verify failed" in ending.error, ending
    finally:
        server.close()
