"""Credentials of a bucket, which may be replaced while the server runs: keys lent for hours, rotated secrets."""

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import structlog

from livereel.storage.config import BucketConfig

log = structlog.get_logger()

#: Seconds between looks at where the credentials come from, while they are used. Those who lend keys for hours renew
#: them some minutes before they end.
LOOK_EVERY: Final = 10.0
#: After a refusal the next use looks, but not every request of a store that refuses all of them.
LOOK_AGAIN: Final = 0.5


class Credentials:
    """What requests to one bucket are signed with now. Used by several threads."""

    def __init__(self, bucket: str, config: BucketConfig) -> None:
        self._bucket = bucket
        self._config = config
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()
        self._refused = False
        self._before: Mapping[str, str] = {}
        self._problem: str | None = None

    @property
    def may_change(self) -> bool:
        """Whether they are read again at all."""
        return self._config.renew is not None

    def current(self) -> Mapping[str, str]:
        """By the names of `config.CREDENTIAL_NAMES`. What cannot be read or used leaves those of before."""
        with self._lock:
            since = time.monotonic() - self._looked_at
            if self._config.renew is not None and since >= (LOOK_AGAIN if self._refused else LOOK_EVERY):
                self._look()
            return self._config.credentials

    def refused(self) -> None:
        """The store did not take a request, perhaps for its credentials."""
        with self._lock:
            self._refused = True

    def secrets(self) -> tuple[str, ...]:
        """What may stand in no message: the credentials of now, and of before, which a request may have had still."""
        with self._lock:
            return (*self._config.credentials.values(), *self._before.values())

    def _look(self) -> None:
        assert self._config.renew is not None
        self._looked_at, self._refused = time.monotonic(), False
        try:
            found = self._config.renew()
            if not found or (self._config.s3 and "access_key" not in found):
                raise ValueError("credentials are missing that were there before")
            renewed = replace(self._config, credentials=found)
        except (OSError, ValueError) as error:
            problem = str(error)
            if problem != self._problem:
                log.warning("credentials_not_read", bucket=self._bucket, error=problem)
            self._problem = problem
            return
        self._problem = None
        if found != self._config.credentials:
            self._before, self._config = self._config.credentials, renewed
            log.info("credentials_renewed", bucket=self._bucket)
