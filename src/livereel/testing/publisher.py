"""A publisher without an encoder: pushes the generated picture and tone over RTMP in real time, from a thread."""

import threading
import time

import av

from livereel.testing.source import SourceSpec, open_output

#: Media is encoded and sent in steps of this many seconds, like an encoder that sends frame by frame.
_STEP_SECONDS = 1 / 30
#: Seconds to wait for the server: connecting, and each write.
_TIMEOUT = 10.0


class DemoPublisher:
    """Pushes to `url` (rtmp://host/app/stream) from `start` to `stop`, or for `seconds` of media.

    `spec` says more about the media than `size` and `fps`, and replaces them. `error` says why the push ended on its
    own, None while it runs and after a clean stop. Usable as a context manager.
    """

    def __init__(
        self,
        url: str,
        *,
        size: tuple[int, int] = (320, 180),
        fps: int = 30,
        seconds: float | None = None,
        spec: SourceSpec | None = None,
    ) -> None:
        self.url = url
        self.error: str | None = None
        self.sent_seconds = 0.0
        self._spec = spec or SourceSpec(size=size, fps=fps)
        self._seconds = seconds
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"publisher {url}", daemon=True)

    def start(self) -> "DemoPublisher":
        """Begin to push; returns at once."""
        self._thread.start()
        return self

    def wait_connected(self, timeout: float = _TIMEOUT) -> bool:
        """Wait until the server has accepted the push (or the push has failed); False after `timeout` seconds."""
        return self._connected.wait(timeout) and self.error is None

    def stop(self) -> None:
        """End the push as an encoder does, and wait until that is done."""
        self._stopping.set()
        self._thread.join(_TIMEOUT * 2)

    def join(self) -> None:
        """Wait until the push has ended on its own: after `seconds`, or by an error."""
        self._thread.join()

    @property
    def running(self) -> bool:
        """True while the thread pushes."""
        return self._thread.is_alive()

    def __enter__(self) -> "DemoPublisher":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self._push()
        except (av.FFmpegError, OSError) as error:
            self.error = str(error)
        finally:
            self._connected.set()

    def _push(self) -> None:
        encoder = open_output(self.url, self._spec, timeout=_TIMEOUT, options={"flvflags": "no_duration_filesize"})
        try:
            begun = time.monotonic()
            while not self._stopping.is_set():
                at = self.sent_seconds + _STEP_SECONDS
                if self._seconds is not None and at > self._seconds:
                    break
                encoder.encode_until(at)
                self.sent_seconds = at
                self._connected.set()
                self._stopping.wait(max(0.0, begun + at - time.monotonic()))
        except BaseException:
            encoder.abort()
            raise
        encoder.close()
