"""Every domain error has a wire form that fits its family."""

import pytest

from livereel.api.huawei import errors as wire_errors
from livereel.api.huawei.errors import UnknownApi, body, iam_body, wire
from livereel.domain import errors

ALL = [
    kind
    for module in (errors, wire_errors)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, errors.LivereelError)
]


def make(kind: type[errors.LivereelError]) -> errors.LivereelError:
    if kind is errors.PermissionDenied:
        return errors.PermissionDenied("not permitted", "live:record:createCommand")
    return kind("what happened")


@pytest.mark.parametrize("kind", ALL)
def test_every_error_has_a_body(kind: type[errors.LivereelError]) -> None:
    error = make(kind)
    found = wire(error)
    content = body(error, operation=None, gateway_request_id="0" * 32)
    assert content["error_code"] == found.code
    assert 400 <= found.status <= 503
    if found.code.startswith("LIVE."):
        assert list(content) == ["error_code", "error_msg", "error_detail"]
    else:
        assert list(content)[:3] == ["error_msg", "error_code", "request_id"]
    status, iam = iam_body(error)
    assert iam["error"]["code"] == status
    assert iam["error"]["title"]


def test_server_faults_keep_their_reasons() -> None:
    content = body(errors.StoreError("/secret/path"), operation=None, gateway_request_id="")
    assert "secret" not in str(content)
    assert "secret" not in str(iam_body(errors.SpoolError("/secret/path")))


def test_subclasses_answer_like_their_base() -> None:
    assert wire(errors.UnknownDomain("x")) == wire(errors.InvalidParameter("x"))
    assert wire(errors.InvalidName("x")).code == "LIVE.100011001"


def test_operations_may_answer_their_own_way() -> None:
    missing = errors.ResourceNotFound("x")
    assert (wire(missing).status, wire(missing).code) == (404, "LIVE.103011019")
    assert wire(missing, "DeleteDomain").status == 400
    assert wire(missing, "ShowRecordRule").code == "LIVE.100011001"
    assert wire(UnknownApi("x"), "DeleteDomain").status == 404


def test_authentication_says_why() -> None:
    content = body(errors.AuthenticationFailed("x-auth-token not found"), operation=None, gateway_request_id="a")
    assert content == {
        "error_msg": "Incorrect IAM authentication information: x-auth-token not found",
        "error_code": "APIGW.0301",
        "request_id": "a",
    }
