"""Pushing over RTMP: the client's side of a publish, over one blocking socket.

libav's own RTMP output takes no options through PyAV and would resolve names itself; a client needs little more than
the chunks that the server side speaks as well (RTMP specification 1.0, section 7.2).
"""

import contextlib
import select
import socket
import time
from typing import Final

from livereel.amf import amf0
from livereel.amf.values import AmfError, Value
from livereel.callbacks.guard import TargetGuard
from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.pulls.net import Place, connect
from livereel.rtmp import messages
from livereel.rtmp.chunks import ChunkReader, ChunkWriter
from livereel.rtmp.errors import ProtocolError

_HANDSHAKE: Final = 1536
_CHUNK_SIZE: Final = 65_536  # a message is mostly one chunk then
_CHUNK_STREAMS: Final = {TAG_AUDIO: 4, TAG_VIDEO: 6, TAG_SCRIPT: 5}
_OPTIONAL: Final = (2.0, 3.0)  # releaseStream and FCPublish, which many servers do not know
_TIMEOUT: Final = 20.0  # seconds for connecting, for each answer, and for a server that takes nothing
_GOODBYE: Final = 5.0  # seconds the server has to read what we sent last: until then it refuses the next push


class PushFailed(OSError):
    """The server refused the push, hung up, or takes nothing more."""


class Publisher:
    """One publish. `where` is the server; `app` and `stream` (with its query) are names on it.

    `tc_url` is what the server is told it was reached by: some choose the virtual host from it.
    """

    def __init__(self, where: Place, guard: TargetGuard | None, *, app: str, stream: str, tc_url: str) -> None:
        self._stream = stream
        self._reader = ChunkReader()
        self._writer = ChunkWriter()
        self._stream_id = 1
        self._link = connect(where, guard, _TIMEOUT)
        try:
            self._shake_hands()
            self._open(app, tc_url)
        except BaseException:
            self.abort()
            raise

    def push(self, tags: list[Tag]) -> None:
        """Send tags; waits while the server takes nothing. Raises PushFailed."""
        self._look_for_answers()
        pieces = []
        for kind, timestamp, body in tags:
            payload = amf0.encode("@setDataFrame") + body if kind == TAG_SCRIPT else body
            pieces.append(self._writer.write(_CHUNK_STREAMS[kind], (kind, timestamp, self._stream_id, payload)))
        self._send(b"".join(pieces))

    def close(self) -> None:
        """End the publish, wait until the server has read all of it, and hang up."""
        with contextlib.suppress(OSError):
            self._command("FCUnpublish", 6, None, self._stream)
            self._command("deleteStream", 7, None, float(self._stream_id))
            self._link.shutdown(socket.SHUT_WR)
            self._link.settimeout(_GOODBYE)
            while self._link.recv(65_536):
                pass
        self.abort()

    def abort(self) -> None:
        """Hang up."""
        self._link.close()

    def _shake_hands(self) -> None:
        self._send(b"\x03" + bytes(8) + bytes(index & 0xFF for index in range(_HANDSHAKE - 8)))
        answer = b""
        while len(answer) < 1 + 2 * _HANDSHAKE:
            answer += self._receive(1 + 2 * _HANDSHAKE - len(answer))
        if answer[0] != 3:
            raise PushFailed("the server does not speak RTMP")
        self._send(answer[1 : 1 + _HANDSHAKE])

    def _open(self, app: str, tc_url: str) -> None:
        self._send(self._writer.write(2, (messages.SET_CHUNK_SIZE, 0, 0, _CHUNK_SIZE.to_bytes(4, "big"))))
        self._writer.chunk_size = _CHUNK_SIZE
        self._command("connect", 1, {"app": app, "type": "nonprivate", "flashVer": "FMLE/3.0", "tcUrl": tc_url})
        self._wait_for("_result", 1)
        self._command("releaseStream", 2, None, self._stream)
        self._command("FCPublish", 3, None, self._stream)
        self._command("createStream", 4, None)
        values = self._wait_for("_result", 4)
        if len(values) > 3 and isinstance(values[3], float):
            self._stream_id = int(values[3])
        self._command("publish", 5, None, self._stream, "live", stream_id=self._stream_id)
        self._wait_for("onStatus", None)

    def _command(self, name: str, transaction: float, *values: Value, stream_id: int = 0) -> None:
        payload = amf0.encode(name, float(transaction), *values)
        self._send(self._writer.write(3, (messages.COMMAND, 0, stream_id, payload)))

    def _wait_for(self, name: str, transaction: float | None) -> list[Value]:
        """The answer of that name, whatever else comes before. Raises PushFailed."""
        deadline = time.monotonic() + _TIMEOUT
        while True:
            for values in self._take(self._receive(65_536)):
                if values[0] == name and (transaction is None or values[1] == transaction):
                    return values
            if time.monotonic() > deadline:
                raise PushFailed(f"the server did not answer within {_TIMEOUT:g} s")

    def _look_for_answers(self) -> None:
        while select.select([self._link], [], [], 0)[0]:
            self._take(self._receive(65_536))

    def _take(self, data: bytes) -> list[list[Value]]:
        """The commands in what the server sent; pings are answered. Raises PushFailed for errors it tells."""
        commands = []
        try:
            for kind, _, _, payload in self._reader.feed(data):
                if kind == messages.USER_CONTROL and int.from_bytes(payload[:2], "big") == messages.PING_REQUEST:
                    pong = messages.PING_RESPONSE.to_bytes(2, "big") + payload[2:6]
                    self._send(self._writer.write(2, (messages.USER_CONTROL, 0, 0, pong)))
                elif kind == messages.COMMAND and (values := amf0.decode(payload)):
                    self._check(values)
                    commands.append(values)
        except (AmfError, ProtocolError) as error:
            raise PushFailed(f"the server's answer cannot be read: {error}") from error
        return commands

    @staticmethod
    def _check(values: list[Value]) -> None:
        if values[0] == "_error" and values[1] in _OPTIONAL:
            return
        info = next((value for value in values[2:] if isinstance(value, dict) and "code" in value), {})
        if values[0] == "_error" or info.get("level") == "error":
            told = " ".join(str(info[member]) for member in ("code", "description") if info.get(member))
            raise PushFailed(f"the server refuses: {told or 'without a reason'}")

    def _receive(self, size: int) -> bytes:
        try:
            data = self._link.recv(size)
        except OSError as error:
            raise PushFailed(f"the connection to the server broke: {error}") from error
        if not data:
            raise PushFailed("the server closed the connection")
        return data

    def _send(self, data: bytes) -> None:
        try:
            self._link.sendall(data)
        except OSError as error:
            raise PushFailed(f"the connection to the server broke: {error}") from error
