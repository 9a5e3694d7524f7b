"""Bucket names and the directories behind them."""

from pathlib import Path

import pytest

from livereel.domain.errors import InvalidName, InvalidParameter
from livereel.storage.buckets import LocalStores
from livereel.storage.config import check_bucket


@pytest.mark.parametrize("name", ["abc", "rec-a", "a.b.c", "0" * 63, "1.2.3", "a--b", "rec-1.eu"])
def test_bucket_names(name: str) -> None:
    assert check_bucket(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "ab", "a" * 64, "Rec", "rec_a", "-rec", "rec-", ".rec", "rec.", "a..b", "a.-b", "a-.b"),
        *("192.168.0.1", "..", "../x", "a/b", "a\\b", "a\x00b", "a b", "abc\n", "ä-bc", "\uff0e\uff0e\uff0e", "%2e%2e"),
    ],
)
def test_no_bucket_names(name: str) -> None:
    with pytest.raises(InvalidName):
        check_bucket(name)
    with pytest.raises(InvalidName):
        LocalStores(Path("/nonexistent")).get(name)


async def test_a_bucket_is_made_when_it_is_needed(tmp_path: Path) -> None:
    store = LocalStores(tmp_path).get("rec-a")
    assert store.bucket == "rec-a"
    assert not (tmp_path / "rec-a").exists()
    await store.put_bytes("x", b"1")
    assert (tmp_path / "rec-a" / "x").read_bytes() == b"1"


def test_without_create_only_existing_buckets_are_there(tmp_path: Path) -> None:
    (tmp_path / "rec-a").mkdir()
    stores = LocalStores(tmp_path, create=False)
    assert stores.get("rec-a").bucket == "rec-a"
    with pytest.raises(InvalidParameter, match="make the directory"):
        stores.get("rec-b")
