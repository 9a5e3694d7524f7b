"""The signing client, against the vectors of the specification."""

from livereel.testing.api_client import authorization, canonical_query

AK, SK = "TESTAK0000000000001X", "testSecretKey00000000000000000000000000X"
PROJECT = "0123456789abcdef0123456789abcdef"


def test_a_signed_command() -> None:
    headers = {
        "Content-Type": "application/json;charset=UTF-8",
        "Host": "127.0.0.1:8443",
        "X-Project-Id": PROJECT,
        "X-Sdk-Date": "20260721T061528Z",
    }
    body = b'{"publish_domain": "push.example.com", "app": "live", "stream": "cam01"}'
    query = canonical_query({"action": "START"})
    assert authorization("POST", f"/v1/{PROJECT}/record/control", query, headers, body, AK, SK) == (
        f"SDK-HMAC-SHA256 Access={AK}, SignedHeaders=content-type;host;x-project-id;x-sdk-date, "
        "Signature=2118fdfbbaa63bd74beb1d971a06966025457b8f8081630ed18d9b5d23806b4d"
    )


def test_a_signed_query_without_body() -> None:
    headers = {"Host": "iam.cn-north-4.myhuaweicloud.com", "X-Sdk-Date": "20260721T061528Z"}
    query = canonical_query({"name": "cn-north-4"})
    assert authorization("GET", "/v3/projects", query, headers, b"", AK, SK).endswith(
        "SignedHeaders=host;x-sdk-date, Signature=c43da33215106f4ee83ebb89831f00b8af88e3becd02b0d24ceb723f4a0dce24"
    )


def test_queries_are_sorted_and_encoded() -> None:
    assert canonical_query({"b": "x y", "a": "1/2:~-_."}) == "a=1%2F2%3A~-_.&b=x%20y"
