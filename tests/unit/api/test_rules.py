"""Ranges, times, request ids, replays, body limits: the rules that need no server."""

import asyncio
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.api.auth.body import BODY_MAX, DISCARD_MAX, Body, Budget, Disconnected, replaying
from livereel.api.auth.replay import REPEAT_SECONDS, Answer, Replays
from livereel.api.huawei.errors import BodyTooLarge
from livereel.api.huawei.requests import RuleBody, parse_time
from livereel.api.ranges import Span, Unsatisfiable, etag, http_date, names_etag, parse_range, range_applies
from livereel.api.request_id import RequestId
from livereel.catalogue.port import SeenRequest
from livereel.domain.errors import RateLimited
from livereel.domain.templates import RecordFormat
from livereel.storage.port import StoredObject


@given(
    st.integers(0, 50),
    st.one_of(st.text(max_size=20), st.from_regex(r"bytes=[0-9]{0,3}-[0-9]{0,3}", fullmatch=True)),
)
def test_a_range_lies_within_the_object(size: int, header: str) -> None:
    try:
        span = parse_range(header, size)
    except Unsatisfiable:
        return
    assert span is None or 0 <= span.start < span.end <= size


def test_ranges() -> None:
    assert parse_range(None, 10) is None
    assert parse_range("bytes=2-4", 10) == Span(2, 5)
    assert parse_range("bytes=-4", 10) == Span(6, 10)
    assert parse_range("BYTES=0-", 10) == Span(0, 10)
    for header, size in (("bytes=0-", 0), ("bytes=-1", 0), ("bytes=10-", 10), ("bytes=-0", 10)):
        with pytest.raises(Unsatisfiable):
            parse_range(header, size)


def test_validators() -> None:
    stored = StoredObject("k", 10, 1784614528.25)
    assert http_date(stored.modified_at) == "Tue, 21 Jul 2026 06:15:28 GMT"
    assert etag(stored) != etag(stored._replace(size=11))
    assert etag(stored) != etag(stored._replace(modified_at=stored.modified_at + 0.001))
    assert names_etag(f'"x", W/{etag(stored)}', etag(stored))
    assert names_etag("*", etag(stored))
    assert not names_etag('"x"', etag(stored))
    assert range_applies(None, stored)
    assert range_applies(etag(stored), stored)
    assert range_applies(http_date(stored.modified_at), stored)
    assert not range_applies(f"W/{etag(stored)}", stored)


@pytest.mark.parametrize(
    "text",
    [
        "2026-07-21T06:15:28Z",
        "2026-07-21T06:15:28",
        "2026-07-21T06:15:28+00:00",
        "2026-07-21T08:15:28+02:00",
        "2026-07-21T06:15:28.000Z",
        "2026-07-21T06:15:28.000000+00:00",
    ],
)
def test_times(text: str) -> None:
    assert parse_time(text) == 1784614528


@given(st.text(max_size=30))
def test_other_texts_are_no_times(text: str) -> None:
    with suppress(ValueError):
        parse_time(text)


def test_request_id_form() -> None:
    made = RequestId(UUID("3f0d1c5a-6f0e-4a56-9b7e-2d1f7a4c9e10"), 1784614528, "live-rec-01")
    assert str(made) == "3f0d1c5a-6f0e-4a56-9b7e-2d1f7a4c9e10-1784614528-live-rec-01"
    assert str(made._replace(hostname="a b\r\nX: y")).endswith("-a-b-X-y")
    assert str(made._replace(hostname="")).endswith("-livereel")


def test_repeated_formats_count_once() -> None:
    body = RuleBody.model_validate(
        {
            "publish_domain": "d",
            "app": "*",
            "stream": "*",
            "default_record_config": {
                "record_format": ["MP4", "MP4"],
                "obs_addr": {"bucket": "bbb", "location": "l"},
            },
        }
    )
    assert list(body.template().formats) == [RecordFormat.MP4]


# -- Bodies


def messages(*parts: bytes, disconnect: bool = False) -> Any:
    queue = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    queue.append({"type": "http.disconnect"} if disconnect else {"type": "http.request", "body": b""})

    async def receive() -> Any:
        return queue.pop(0)

    return receive


def scope(announced: int | None = None) -> dict[str, Any]:
    return {"headers": [] if announced is None else [(b"content-length", str(announced).encode())]}


def body(scope: dict[str, Any], receive: Any, budget: Budget | None = None) -> Body:
    return Body(scope, receive, budget or Budget())


async def test_bodies() -> None:
    assert await body(scope(), messages(b"a", b"b")).read() == b"ab"
    assert await body(scope(2), messages(b"a", b"b")).read() == b"ab"
    with pytest.raises(Disconnected):
        await body(scope(), messages(b"a", disconnect=True)).read()
    assert len(await body(scope(), messages(b" " * BODY_MAX)).read()) == BODY_MAX


async def test_bodies_over_the_limit() -> None:
    with pytest.raises(BodyTooLarge):
        await body(scope(BODY_MAX + 1), messages()).read()  # nothing is read
    with pytest.raises(BodyTooLarge):
        await body(scope(), messages(*[b" " * 1_000_000] * 13)).read()
    with pytest.raises(BodyTooLarge):
        await body(scope(), messages(b" " * BODY_MAX, b" ")).read()


async def test_refused_bodies_are_taken_within_reason() -> None:
    left: list[Any] = []

    async def receive() -> Any:
        left.append(1)
        return {"type": "http.request", "body": b" " * 1_000_000, "more_body": len(left) < 20}

    await body(scope(20_000_000), receive).discard()
    assert len(left) == 20
    await body(scope(DISCARD_MAX + 1), receive).discard()
    assert len(left) == 20
    done = body(scope(1), messages(b"a"))
    await done.read()
    await done.discard()  # asks for nothing more


async def test_bodies_under_way_share_a_budget() -> None:
    budget = Budget(5)
    first = body(scope(), messages(b"abc"), budget)
    assert await first.read() == b"abc"
    with pytest.raises(RateLimited):
        await body(scope(), messages(b"de", b"f"), budget).read()
    first.close()
    first.close()
    assert await body(scope(), messages(b"ghi"), budget).read() == b"ghi"


async def test_a_body_is_given_once_more() -> None:
    again = replaying(b"ab", messages(disconnect=True))
    assert (await again())["body"] == b"ab"
    assert (await again())["type"] == "http.disconnect"


# -- Replays


class Seen:
    """The neighbour: a catalogue that knows nothing but seen requests."""

    def __init__(self) -> None:
        self.rows: dict[str, SeenRequest] = {}
        self.cleaned: list[float] = []
        self.broken = False
        self.disk = asyncio.Event()
        self.disk.set()
        self.seen_requests = self

    @asynccontextmanager
    async def read(self, *, latest: bool = True) -> Any:
        yield self

    @asynccontextmanager
    async def write(self, *, durable: bool = True, patient: bool = False) -> Any:
        if self.broken:
            raise OSError("disk full")
        await self.disk.wait()
        yield self

    async def get(self, signature: str) -> SeenRequest | None:
        return self.rows.get(signature)

    async def add(self, seen: SeenRequest) -> None:
        assert seen.signature not in self.rows
        self.rows[seen.signature] = seen

    async def delete_expired(self, now: float) -> None:
        self.cleaned.append(now)
        self.rows = {key: row for key, row in self.rows.items() if row.expires_at > now}


class Made:
    """Counts how often an answer is made; gives the statuses in turn."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.count = 0

    async def __call__(self) -> Answer:
        self.count += 1
        await asyncio.sleep(0)
        return Answer(self.statuses.pop(0), [(b"x", str(self.count).encode())], b"body")


@pytest.fixture
def clock() -> Any:
    state = SimpleNamespace(time=1000.0)
    state.now = lambda: state.time
    state.monotonic = lambda: state.time
    return state


SCOPE: dict[str, Any] = {"path": "/"}


async def test_the_first_answer_again(clock: Any) -> None:
    seen, made = Seen(), Made(201, 200)
    replays = Replays(seen, clock)  # type: ignore[arg-type]
    first = await replays.once(SCOPE, "s", 1900, made)
    assert await replays.once(SCOPE, "s", 1900, made) == first
    await replays.noted()
    assert await replays.once(SCOPE, "s", 1900, made) == first
    assert await Replays(seen, clock).once(SCOPE, "s", 1900, made) == first  # type: ignore[arg-type]
    assert made.count == 1
    assert (await replays.once(SCOPE, "t", 1900, made)).status == 200


async def test_an_answer_is_given_before_it_is_noted(clock: Any) -> None:
    seen, made = Seen(), Made(404, 200, 500)
    seen.disk.clear()
    replays = Replays(seen, clock)  # type: ignore[arg-type]
    # Each of these comes while nothing is noted yet: the refusal may be repeated, what was done is not done again.
    assert [(await replays.once(SCOPE, "s", 1900, made)).status for _ in range(3)] == [404, 200, 200]
    assert not seen.rows
    seen.disk.set()
    await replays.noted()
    assert {row.status for row in seen.rows.values()} == {404, 200}
    assert [(await replays.once(SCOPE, "s", 1900, made)).status for _ in range(2)] == [200, 200]


async def test_copies_wait_for_the_first(clock: Any) -> None:
    made = Made(201)
    replays = Replays(Seen(), clock)  # type: ignore[arg-type]
    answers = await asyncio.gather(*(replays.once(SCOPE, "s", 1900, made) for _ in range(4)))
    assert {answer.status for answer in answers} == {201}
    assert made.count == 1


async def test_refusals_may_be_repeated_for_a_second(clock: Any) -> None:
    seen, made = Seen(), Made(400, 404, 204, 200)
    replays = Replays(seen, clock)  # type: ignore[arg-type]
    assert [(await replays.once(SCOPE, "s", 1900, made)).status for _ in range(4)] == [400, 404, 204, 204]
    clock.time += REPEAT_SECONDS
    assert (await replays.once(SCOPE, "s", 1900, made)).status == 204
    assert made.count == 3


async def test_a_refusal_is_final_after_a_second(clock: Any) -> None:
    made = Made(400, 200)
    replays = Replays(Seen(), clock)  # type: ignore[arg-type]
    await replays.once(SCOPE, "s", 1900, made)
    clock.time += REPEAT_SECONDS
    assert (await replays.once(SCOPE, "s", 1900, made)).status == 400
    assert made.count == 1


async def test_busy_answers_are_not_kept(clock: Any) -> None:
    made = Made(503, 429, 200)
    replays = Replays(Seen(), clock)  # type: ignore[arg-type]
    assert [(await replays.once(SCOPE, "s", 1900, made)).status for _ in range(3)] == [503, 429, 200]


async def test_server_faults_are_kept(clock: Any) -> None:
    made = Made(500, 200)
    replays = Replays(Seen(), clock)  # type: ignore[arg-type]
    assert [(await replays.once(SCOPE, "s", 1900, made)).status for _ in range(2)] == [500, 500]


async def test_an_answer_is_given_even_if_it_cannot_be_kept(clock: Any) -> None:
    seen = Seen()
    seen.broken = True
    replays = Replays(seen, clock)  # type: ignore[arg-type]
    assert (await replays.once(SCOPE, "s", 1900, Made(200))).status == 200
    await replays.noted()


async def test_expired_answers_are_deleted(clock: Any) -> None:
    seen = Seen()
    replays = Replays(seen, clock)  # type: ignore[arg-type]
    await replays.once(SCOPE, "s", 1900, Made(200))
    await replays.noted()
    clock.time = 2000
    await replays.once(SCOPE, "t", 2900, Made(200))
    await replays.noted()
    assert seen.cleaned == [1000.0, 2000]
    assert set(seen.rows) == {"t"}


async def test_a_cancelled_first_caller_does_not_hang_the_others(clock: Any) -> None:
    replays = Replays(Seen(), clock)  # type: ignore[arg-type]
    started = asyncio.Event()

    async def never() -> Answer:
        started.set()
        await asyncio.sleep(60)
        raise AssertionError

    first = asyncio.create_task(replays.once(SCOPE, "s", 1900, never))
    await started.wait()
    second = asyncio.create_task(replays.once(SCOPE, "s", 1900, Made(200)))
    await asyncio.sleep(0)
    first.cancel()
    for task in (first, second):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await replays.once(SCOPE, "s", 1900, Made(200))).status == 200
