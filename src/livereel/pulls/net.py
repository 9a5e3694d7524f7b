"""The only way out of a pull worker: TCP connections to addresses that the operator allows."""

import socket
import ssl
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from livereel.callbacks.guard import TargetGuard, TargetRefused

DEFAULT_PORTS = {"rtmp": 1935, "rtmps": 443, "http": 80, "https": 443, "rtsp": 554, "rtsps": 322}
_TLS = frozenset({"rtmps", "https", "rtsps"})


class Place(NamedTuple):
    """Where a URL points to. `authority` is host and, if it was given, port, as the URL had it."""

    scheme: str
    host: str
    port: int
    authority: str
    target: str  # path and query
    user: str
    password: str

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in _TLS


def place(url: str) -> Place:
    """The parts of a URL of a known scheme. Raises ValueError."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise ValueError(f"{scheme or 'a local path'} is not a protocol that may be used")
    if not parts.hostname:
        raise ValueError("a URL needs a host")
    return Place(
        scheme=scheme,
        host=parts.hostname,
        port=parts.port or DEFAULT_PORTS[scheme],
        authority=parts.netloc.rpartition("@")[2],
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def rtmp_names(where: Place) -> tuple[str, str]:
    """App and stream of an RTMP URL: the stream is the last part of the path, with the query."""
    path, mark, query = where.target.partition("?")
    app, _, name = path.strip("/").rpartition("/")
    return app, name + mark + query


def redacted(url: str) -> str:
    """The URL without what may be secret: user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def connect(where: Place, guard: TargetGuard | None, timeout: float) -> socket.socket:
    """A connection, with TLS where the scheme wants it; `timeout` (seconds) holds for every later call on it, too.

    Without `guard` any address is fine. Raises TargetRefused when the name has refused addresses only, else OSError.
    """
    refused: TargetRefused | None = None
    problem: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM):
        connection = None
        try:
            if guard is not None:
                guard.check(str(address[0]))
            connection = socket.socket(family, kind, protocol)
            connection.settimeout(timeout)
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if where.tls:
                return ssl.create_default_context().wrap_socket(connection, server_hostname=where.host)
        except TargetRefused as error:
            refused = error
        except OSError as error:
            if connection is not None:
                connection.close()
            problem = error
        else:
            return connection
    raise problem or refused or OSError(f"{where.host} has no address")
