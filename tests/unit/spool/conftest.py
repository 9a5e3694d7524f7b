"""What holds for all tests of spools."""

from collections.abc import Iterator

import pytest

from livereel.spool import pool


@pytest.fixture(autouse=True)
def _patient() -> Iterator[None]:
    """Pools that are closed wait for a disk that is slow, as long as it takes: what was written is looked at then."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pool, "CLOSE_SECONDS", 120.0)
        yield
