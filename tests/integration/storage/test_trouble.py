"""Object stores that refuse, hang, die in the middle or lie."""

import asyncio
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from livereel.domain.errors import StoreError
from livereel.storage import object_store
from livereel.storage.object_store import PART_SIZE, ObjectStore
from tests.acceptance.server import wait_until
from tests.integration.storage.conftest import config
from tests.integration.storage.gateway import Gateway, Request
from tests.integration.storage.proxy import Proxy
from tests.integration.storage.seaweed import ACCESS_KEY, BUCKET, HOSTED_DOMAIN, NO_HOST, SECRET_KEY, Seaweed

KEY = "Record/cam01.flv"
SHORT = 1.5  # seconds a request may take where a test waits for that
IN_TIME = 30.0  # seconds; a busy machine has some of its own, a store that hangs has no end of them


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(5 * PART_SIZE + 99))
    return path


@pytest.fixture
def proxy(seaweed: Seaweed) -> Iterator[Proxy]:
    proxy = Proxy(seaweed.s3_port)
    yield proxy
    proxy.close()


async def refusal(store: ObjectStore) -> str:
    """What `check` says; puts of files say it too."""
    with pytest.raises(StoreError) as refused:
        await store.check()
    assert SECRET_KEY not in refused.value.detail
    assert "\n" not in refused.value.detail
    return refused.value.detail


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"credentials": {"access_key": "somebody", "secret_key": "else"}}, "does not know the access key"),
        (
            {"credentials": {"access_key": ACCESS_KEY, "secret_key": "wrong"}},
            "secret key is not that of the access key",
        ),
        ({"url": "s3://no-such-bucket"}, "there is no such bucket: create it"),
        ({"endpoint": "http://127.0.0.1:9"}, "no connection: look whether the store is up"),
        ({"endpoint": f"http://{NO_HOST}"}, "host name cannot be resolved"),
        ({"endpoint": "https://127.0.0.1:{port}"}, "no connection|connection broke|certificate"),
    ],
    ids=["access key", "secret key", "bucket", "port", "host", "tls"],
)
async def test_refusals_say_what_to_do(
    seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], told: str
) -> None:
    monkeypatch.setattr(object_store, "RETRIES", 0)
    if "endpoint" in changes:
        changes = {"endpoint": str(changes["endpoint"]).format(port=seaweed.s3_port)}
    store = ObjectStore("rec-a", config(seaweed, **changes))
    assert re.search(told, await refusal(store))
    source = tmp_path / "source"
    source.write_bytes(b"x" * (PART_SIZE + 1))
    with pytest.raises(StoreError, match=told):
        await store.put_file(KEY, source, final=True)


async def test_a_bucket_in_the_host_name(
    seaweed: Seaweed, prefix: str, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No DNS has the name: the server itself plays the proxy that all is sent through.
    monkeypatch.setenv("http_proxy", seaweed.endpoint)
    endpoint = f"http://{HOSTED_DOMAIN}:{seaweed.s3_port}"
    store = ObjectStore("rec-a", config(seaweed, endpoint=endpoint, url=f"obs://{BUCKET}/{prefix}"))
    await store.check()
    await store.put_file(KEY, large)
    assert store.describe(KEY) == f"obs://{BUCKET}/{prefix}/{KEY}"
    monkeypatch.delenv("http_proxy")
    assert await ObjectStore("rec-a", config(seaweed, prefix)).stat(KEY) is not None


async def test_a_store_that_hangs_fails_in_time(proxy: Proxy, seaweed: Seaweed, prefix: str, large: Path) -> None:
    store = ObjectStore("rec-a", config(seaweed, prefix, endpoint=proxy.endpoint), request_timeout=SHORT)
    # With a patience of its own: a busy store takes longer for this than a hanging one may.
    await ObjectStore("rec-a", config(seaweed, prefix)).put_bytes("other", b"x" * 1000)
    proxy.hang()
    for request in (
        store.put_bytes(KEY, b"x"),
        store.stat(KEY),
        store.delete(KEY),
        store.check(),
        anext(store.read("other", 0, 1000)),  # type: ignore[call-overload]
    ):
        before = time.monotonic()
        with pytest.raises(StoreError, match="no answer in time"):
            await request
        assert time.monotonic() - before < IN_TIME
    before = time.monotonic()
    with pytest.raises(StoreError, match="no answer in time"):
        await store.put_file(KEY, large)
    assert time.monotonic() - before < IN_TIME
    proxy.go_on()
    await ObjectStore("rec-a", config(seaweed, prefix, endpoint=proxy.endpoint)).put_file(KEY, large)


async def test_a_store_that_hangs_in_mid_upload_fails_in_time(
    proxy: Proxy, seaweed: Seaweed, prefix: str, large: Path
) -> None:
    store = ObjectStore("rec-a", config(seaweed, prefix, endpoint=proxy.endpoint), request_timeout=3 * SHORT)
    proxy.after(2 * PART_SIZE, proxy.hang)
    with pytest.raises(StoreError, match="no answer in time"):
        await asyncio.wait_for(store.put_file(KEY, large), 2 * IN_TIME)
    assert await ObjectStore("rec-a", config(seaweed, prefix)).stat(KEY) is None
    proxy.go_on()
    assert (await store.put_file(KEY, large)).size == large.stat().st_size
    assert seaweed.unfinished_uploads(below=prefix) == []


async def test_an_upload_that_begins_when_nobody_awaits_it_any_more(seaweed: Seaweed, prefix: str, large: Path) -> None:
    gateway, go_on, held = Gateway(seaweed.s3_port), threading.Event(), []

    def hang(request: Request) -> None:
        if request.method == "POST" and "uploads" in request.query and not held:
            held.append(request)
            assert go_on.wait(60)
        elif request.part == 3:  # of the second attempt, which has looked for unfinished ones by now
            go_on.set()
            wait_until(lambda: len(seaweed.unfinished_uploads(below=prefix)) == 2, 60, "both uploads to be there")

    gateway.on_request = hang
    with pytest.raises(StoreError, match="no answer in time"):
        await ObjectStore(
            "rec-a", config(seaweed, prefix, endpoint=gateway.endpoint), request_timeout=3 * SHORT
        ).put_file(KEY, large)
    assert held
    store = ObjectStore("rec-a", config(seaweed, prefix, endpoint=gateway.endpoint))
    assert (await store.put_file(KEY, large)).size == large.stat().st_size
    assert seaweed.unfinished_uploads(below=prefix) == []
    gateway.close()


async def test_an_upload_that_is_given_up_leaves_nothing_after_the_next(
    proxy: Proxy, seaweed: Seaweed, prefix: str, large: Path
) -> None:
    store = ObjectStore("rec-a", config(seaweed, prefix, endpoint=proxy.endpoint))
    loop, reached = asyncio.get_running_loop(), asyncio.Event()
    proxy.after(2 * PART_SIZE, lambda: loop.call_soon_threadsafe(reached.set))
    putting = asyncio.create_task(store.put_file(KEY, large))
    await asyncio.wait_for(reached.wait(), 60)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await store.stat(KEY) is None
    assert len(seaweed.unfinished_uploads(below=prefix)) == 1  # as after a kill: nobody could abort it
    await store.put_file(KEY, large)
    assert seaweed.unfinished_uploads(below=prefix) == []


async def test_a_large_file_takes_little_memory(seaweed: Seaweed, prefix: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        for _ in range(256):
            file.write(os.urandom(1 << 20))
    script = textwrap.dedent(
        f"""
        import asyncio
        from pathlib import Path
        from livereel.storage.config import BucketConfig
        from livereel.storage.object_store import ObjectStore

        def most():  # KiB; getrusage would tell the most of the test process, which this one was forked from
            [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
            return int(line.split()[1])

        async def main():
            store = ObjectStore("rec-a", BucketConfig("s3://{BUCKET}/{prefix}", "{seaweed.endpoint}", "us-east-1",
                credentials={{"access_key": "{ACCESS_KEY}", "secret_key": "{SECRET_KEY}"}}))
            await store.check()
            before = most()
            stored = await store.put_file("large", Path("{source}"))
            assert stored.size == 256 << 20
            read = 0
            async for piece in store.read("large", 0, stored.size):
                read += len(piece)
            assert read == stored.size
            print(most() - before)

        asyncio.run(main())
        """
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    # KiB: parts in flight, one being read and sent, and what allocators keep: 40 to 90 MiB of the 256.
    assert int(done.stdout) < 192 * 1024


@pytest.mark.parametrize("size", [PART_SIZE, PART_SIZE + 100_000])
async def test_a_byte_that_changes_on_the_way_is_noticed(
    proxy: Proxy, seaweed: Seaweed, prefix: str, tmp_path: Path, size: int
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(size))
    store = ObjectStore("rec-a", config(seaweed, prefix, endpoint=proxy.endpoint))
    proxy.spoil()
    # SeaweedFS does not check what the signature says of the body; the ETag gives it away.
    with pytest.raises(StoreError, match="arrived damaged"):
        await store.put_file(KEY, source)
    assert (await store.put_file(KEY, source)).size == size
    assert b"".join([piece async for piece in store.read(KEY, 0, size)]) == source.read_bytes()
    assert seaweed.unfinished_uploads(below=prefix) == []
