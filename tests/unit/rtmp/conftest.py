"""Both builds of the chunk reader, where both are there."""

from collections.abc import Iterator

import pytest

from livereel.rtmp import demuxer, session


def builds() -> list[str]:
    try:
        demuxer.load("compiled")
    except ValueError:
        return ["python"]
    return ["python", "compiled"]


BUILDS = builds()


def pytest_report_header() -> str:
    return f"chunk readers under test: {', '.join(BUILDS)}"


@pytest.fixture(params=BUILDS)
def reader_class(request):
    return demuxer.load(request.param)[1]


@pytest.fixture(params=BUILDS)
def each_build(request, monkeypatch) -> Iterator[str]:
    """Sessions made in the test use this build."""
    monkeypatch.setattr(session, "ChunkReader", demuxer.load(request.param)[1])
    return request.param
