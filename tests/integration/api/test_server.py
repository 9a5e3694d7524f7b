"""The embedded HTTP server: ports, TLS, signals, an orderly stop."""

import asyncio
import signal
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from livereel.api import server as server_module
from livereel.api.envelope import Envelope
from livereel.api.server import ApiServer
from livereel.observe.clock import SystemClock
from tests.ports import free_port

from .conftest import PATIENCE


class Slow:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.entered.set()
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})


@pytest.fixture
def app() -> Slow:
    made = Slow()
    made.go_on.set()
    return made


async def test_port_0_is_any_that_is_free(app: Slow) -> None:
    server = ApiServer(app, "127.0.0.1", 0)
    await server.start()
    assert server.port > 0
    await server.stop()


async def test_a_port_is_taken_until_its_server_has_stopped(app: Slow) -> None:
    port = free_port()
    server = ApiServer(app, "127.0.0.1", port)
    await server.start()
    with pytest.raises(OSError, match="in use"):
        await ApiServer(app, "127.0.0.1", port).start()
    await server.stop()
    again = ApiServer(app, "127.0.0.1", port)
    await again.start()
    await again.stop()
    await again.stop()


async def test_signals_stay_with_their_owner(app: Slow) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    server = ApiServer(app, "127.0.0.1", 0)
    await server.start()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    await server.stop()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_stop_lets_a_request_finish(app: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "STOP_GRACE", 3600)
    app.go_on.clear()
    server = ApiServer(app, "127.0.0.1", 0)
    await server.start()
    async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
        request = asyncio.create_task(client.get(f"http://127.0.0.1:{server.port}/"))
        await app.entered.wait()
        stop = asyncio.create_task(server.stop())
        await asyncio.sleep(0.2)
        assert not stop.done()
        app.go_on.set()
        assert (await request).text == "done"
        await stop


async def test_stop_answers_a_request_that_takes_too_long(
    app: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "STOP_GRACE", 1)
    app.go_on.clear()
    server = ApiServer(Envelope(app, clock=SystemClock(), hostname="here"), "127.0.0.1", 0)
    await server.start()
    async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
        asked = asyncio.create_task(client.post(f"http://127.0.0.1:{server.port}/v1/p/domain"))
        await app.entered.wait()
        await server.stop()
        reply = await asked
    assert (reply.status_code, reply.json()["error_code"]) == (503, "LIVE.100011005")
    assert reply.headers["X-request-id"].endswith("-here")
    assert "the server is stopping" in reply.json()["error_detail"]
    assert not [record for record in caplog.records if record.exc_info]


async def test_stop_does_not_wait_for_idle_connections(app: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "STOP_GRACE", 3600)  # whoever is waited for is waited for that long
    server = ApiServer(app, "127.0.0.1", 0)
    await server.start()
    async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
        await client.get(f"http://127.0.0.1:{server.port}/")
        await asyncio.wait_for(server.stop(), PATIENCE)


async def test_tls(app: Slow, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    server = ApiServer(app, "127.0.0.1", 0, tls_certificate=certificate, tls_key=key)
    await server.start()
    context = ssl.create_default_context(cafile=str(certificate))
    async with httpx2.AsyncClient(verify=context, trust_env=False, timeout=PATIENCE) as client:
        assert (await client.get(f"https://localhost:{server.port}/")).text == "done"
    await server.stop()


async def test_a_missing_certificate_is_an_os_error(app: Slow, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        await ApiServer(app, "127.0.0.1", 0, tls_certificate=tmp_path / "no.pem", tls_key=tmp_path / "no.key").start()


def self_signed(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = directory / "tls.pem", directory / "tls.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_path, key_path
