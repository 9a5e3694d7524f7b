"""How buckets in object stores are named, and what is refused."""

import pytest

from livereel.storage.config import BucketConfig, Provider

KEYS = {"access_key": "ak", "secret_key": "very-secret"}


def test_parts_of_urls() -> None:
    s3 = BucketConfig("s3://rec-a/below/here/", "http://127.0.0.1:9000")
    assert (s3.provider, s3.bucket, s3.prefix, s3.base_url) == (
        Provider.S3,
        "rec-a",
        "below/here/",
        "http://127.0.0.1:9000",
    )
    azure = BucketConfig("az://account/container/below")
    assert (azure.account, azure.bucket, azure.prefix, azure.base_url) == ("account", "container", "below/", None)
    assert BucketConfig("gs://rec-a").prefix == ""


@pytest.mark.parametrize(
    ("config", "base"),
    [
        (BucketConfig("obs://b", "https://obs.example.com/"), "https://b.obs.example.com"),
        (BucketConfig("obs://b", "https://b.obs.example.com"), "https://b.obs.example.com"),
        (BucketConfig("obs://b", "http://10.0.0.1:80", virtual_hosted=False), "http://10.0.0.1:80"),
        (BucketConfig("s3://b", "https://s3.example.com"), "https://s3.example.com"),
        (BucketConfig("s3://b", "https://s3.example.com:8443", virtual_hosted=True), "https://b.s3.example.com:8443"),
    ],
)
def test_the_bucket_in_the_host_name(config: BucketConfig, base: str) -> None:
    assert config.base_url == base


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"url": "rec-a"}, "url must be"),
        ({"url": "file:///etc"}, "url must be"),
        ({"url": "s3://"}, "url must be"),
        ({"url": "s3://ak:sk@rec-a"}, "credentials and endpoint have places of their own"),
        ({"url": "s3://rec-a?x=1"}, "bucket and path only"),
        ({"url": "s3://rec-a/../b"}, "may not hold empty"),
        ({"url": "s3://rec-a/a//b"}, "may not hold empty"),
        ({"url": "az://account"}, "must name the container"),
        ({"url": "obs://rec-a"}, "needs an endpoint"),
        ({"url": "gs://rec-a", "endpoint": "https://x"}, "takes no endpoint"),
        ({"url": "s3://rec-a", "endpoint": "store.example.com"}, "endpoint must be"),
        ({"url": "s3://rec-a", "endpoint": "https://a:b@store.example.com"}, "endpoint must be"),
        (
            {"url": "s3://rec-a", "credentials": {"password": "x"}},
            "access_key, secret_key, session_token, not password",
        ),
        ({"url": "s3://rec-a", "credentials": {"access_key": "x"}}, "must be given together"),
        ({"url": "s3://rec-a", "credentials": {**KEYS, "secret_key": "line\n"}}, "secret_key is empty or holds"),
        ({"url": "s3://rec-a", "credentials": {**KEYS, "access_key": ""}}, "access_key is empty or holds"),
    ],
)
def test_what_cannot_be_used(values: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        BucketConfig(**values)  # type: ignore[arg-type]
    assert "very-secret" not in str(refused.value)


def test_credentials_are_not_shown() -> None:
    assert "very-secret" not in repr(BucketConfig("s3://rec-a", credentials=KEYS))
