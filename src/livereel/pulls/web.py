"""HTTP for libav: file objects over connections that `net` opened. libav itself never sees a socket."""

import base64
import http.client
import io
from typing import Any, Final
from urllib.parse import urljoin

from livereel import __version__
from livereel.callbacks.guard import TargetGuard
from livereel.pulls.net import Place, connect, place

TIMEOUT: Final = 20.0  # seconds without a byte: sources that pause longer are broken
REDIRECTS_MAX: Final = 5
SKIP_MAX: Final = 256 * 1024  # bytes that are rather read and dropped than asked for anew
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SCHEMES: Final = ("http", "https")


class HttpStream:
    """The body of one GET, read from the beginning on."""

    def __init__(self, url: str, guard: TargetGuard, response: http.client.HTTPResponse, link: "_Link") -> None:
        self.url = url
        self.content_type = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
        self._guard = guard
        self._response = response
        self._link = link
        self.closed = False

    def read(self, size: int) -> bytes:
        """The next bytes, as many as have come; empty at the end. Raises OSError."""
        try:
            return self._response.read1(size)
        except http.client.HTTPException as error:
            raise OSError(f"the HTTP answer broke off: {error!r}") from error

    def close(self) -> None:
        """Drop the connection."""
        self.closed = True
        self._response.close()
        self._link.close()


class HttpFile(HttpStream):
    """The same with a known length and a server that gives ranges: libav may jump about."""

    def __init__(
        self, url: str, guard: TargetGuard, response: http.client.HTTPResponse, link: "_Link", size: int
    ) -> None:
        super().__init__(url, guard, response, link)
        self._size = size
        self._at = self._wanted = 0

    def read(self, size: int) -> bytes:
        """The next bytes from where `seek` went."""
        if self._wanted >= self._size:
            return b""
        if self._at != self._wanted:
            self._move()
        data = super().read(size)
        if not data and self._at < self._size:
            raise OSError(f"the HTTP answer ended at byte {self._at} of {self._size}")
        self._at = self._wanted = self._at + len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go somewhere; nothing is asked for before the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._wanted, io.SEEK_END: self._size}[whence]
        self._wanted = max(0, base + offset)
        return self._wanted

    def tell(self) -> int:
        """Where the next read begins."""
        return self._wanted

    def _move(self) -> None:
        while 0 < self._wanted - self._at <= SKIP_MAX:
            skipped = super().read(self._wanted - self._at)
            if not skipped:
                break
            self._at += len(skipped)
        if self._at == self._wanted:
            return
        self.close()
        self.closed = False
        self._response, self._link = _get(self.url, self._guard, start=self._wanted)
        if self._response.status != (http.client.PARTIAL_CONTENT if self._wanted else http.client.OK):
            raise OSError("the server gave ranges at first and does no more")
        self._at = self._wanted


class _Link(http.client.HTTPConnection):
    """A connection made by `net`."""

    def __init__(self, where: Place, guard: TargetGuard) -> None:
        super().__init__(where.host, where.port, timeout=TIMEOUT)
        self._where, self._guard = where, guard

    def connect(self) -> None:
        self.sock = connect(self._where, self._guard, TIMEOUT)


def open_url(url: str, guard: TargetGuard) -> HttpStream:
    """GET `url`, following redirects, each checked like the first. Raises OSError, TargetRefused among them."""
    for _ in range(REDIRECTS_MAX + 1):
        response, link = _get(url, guard)
        if response.status in _REDIRECTS and (location := response.getheader("Location")):
            link.close()
            url = urljoin(url, location)
            continue
        if response.status not in (http.client.OK, http.client.PARTIAL_CONTENT):
            link.close()
            raise OSError(f"the server answered {response.status} {response.reason}")
        length = response.getheader("Content-Length")
        ranges = (response.getheader("Accept-Ranges") or "").lower() == "bytes"
        if ranges and length is not None and length.isdecimal() and response.status == http.client.OK:
            return HttpFile(url, guard, response, link, int(length))
        return HttpStream(url, guard, response, link)
    raise OSError(f"more than {REDIRECTS_MAX} redirects")


def _get(url: str, guard: TargetGuard, start: int = 0) -> tuple[http.client.HTTPResponse, _Link]:
    try:
        where = place(url)
    except ValueError as error:
        raise PermissionError(str(error)) from None
    if where.scheme not in _SCHEMES:
        raise PermissionError(f"{where.scheme} is not HTTP")
    headers: dict[str, Any] = {"User-Agent": f"livereel/{__version__}", "Accept": "*/*", "Host": where.authority}
    if start:
        headers["Range"] = f"bytes={start}-"
    if where.user or where.password:
        credentials = base64.b64encode(f"{where.user}:{where.password}".encode()).decode()
        headers["Authorization"] = f"Basic {credentials}"
    link = _Link(where, guard)
    try:
        link.request("GET", where.target, headers=headers)
        return link.getresponse(), link
    except http.client.HTTPException as error:
        link.close()
        raise OSError(f"no usable HTTP answer: {error!r}") from error
    except BaseException:
        link.close()
        raise
