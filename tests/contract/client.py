"""The official SDK, watched: what it is answered must be what the compatibility table and its own classes say."""

import json
import re
from datetime import date, datetime, timedelta
from typing import Any

import huaweicloudsdklive.v1 as sdk
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.http.http_handler import HttpHandler

from livereel.api.huawei.compatibility import NOTES
from tests.acceptance.api import Credentials
from tests.acceptance.test_record_on_command import REQUEST_ID

HEX_32 = r"[0-9a-f]{32}"
#: What is left of times that the SDK's classes declare to be dates.
DAY = r"20\d\d-[01]\d-[0-3]\d"
UTC = DAY + r"T[0-2]\d:[0-5]\d:[0-5]\dZ"

#: Members of ours that SDK classes do not know and ignore.
EXTENSIONS = {"livereel", "on_demand_callback_url", "error_message"}


class Like:
    """Equal to every text that a regular expression covers."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self._pattern, other) is not None

    def __repr__(self) -> str:
        return f"Like({self._pattern!r})"

    __hash__ = None  # type: ignore[assignment]


class Between:
    """Equal to every whole number from `least` to `most`."""

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most

    def __eq__(self, other: object) -> bool:
        return type(other) is int and self._least <= other <= self._most

    def __repr__(self) -> str:
        return f"Between({self._least}, {self._most})"

    __hash__ = None  # type: ignore[assignment]


def method_name(operation: str) -> str:
    """The SDK client's method for an operation."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()


def in_sdk(operation: str) -> bool:
    """Whether the SDK has the operation."""
    return hasattr(sdk.LiveClient, method_name(operation))


class Contract:
    """Calls operations by name. `answered` holds those that were answered as documented."""

    def __init__(self, endpoint: str, credentials: Credentials) -> None:
        self.answered: set[str] = set()
        self._body = ""
        self._client = (
            sdk.LiveClient.new_builder()
            .with_credentials(BasicCredentials(credentials.access, credentials.secret, credentials.project_id))
            .with_endpoint(endpoint)
            .with_http_handler(HttpHandler().add_response_handler(self._look_at))
            .build()
        )

    def __call__(self, operation: str, *, status: int | None = None, **members: Any) -> dict[str, Any]:
        """What the response class holds, without members that are None. `members` are those of the request class.

        `status` picks one where several are documented.
        """
        response = self._send(operation, members)
        documented = NOTES[operation].statuses
        assert response.status_code == (status or documented[0]), operation
        assert response.status_code in documented
        if response.raw_content:
            unknown = _unknown(type(response), json.loads(response.raw_content)) - EXTENSIONS
            assert not unknown, f"{operation}: the SDK does not know {unknown}"
        self.answered.add(operation)
        return dict(plain(response))

    def refused(self, operation: str, status: int, code: str, **members: Any) -> ClientRequestException:
        """The operation must be refused in this way."""
        with pytest.raises(ClientRequestException) as refusal:
            self._send(operation, members)
        assert (refusal.value.status_code, refusal.value.error_code) == (status, code), refusal.value
        return refusal.value

    def _send(self, operation: str, members: dict[str, Any]) -> Any:
        request = getattr(sdk, f"{operation}Request")(**members)
        try:
            return getattr(self._client, method_name(operation))(request)
        except ClientRequestException as refusal:
            refusal.add_note(self._body)
            raise

    def _look_at(self, *, response: Any, **_: Any) -> None:
        assert REQUEST_ID.fullmatch(response.headers["X-request-id"]), response.headers
        self._body = response.text


def plain(value: Any) -> Any:
    """What an SDK object holds: dicts, lists and scalars, without members that are None."""
    if hasattr(value, "openapi_types"):
        members = {name: getattr(value, name) for name in value.openapi_types}
        return {name: plain(member) for name, member in members.items() if member is not None}
    if isinstance(value, datetime):
        assert value.utcoffset() == timedelta(0), value
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    return [plain(item) for item in value] if isinstance(value, list) else value


def _unknown(kind: Any, value: Any) -> set[str]:
    """Members on the wire that the SDK's class has no place for, at any depth."""
    if isinstance(value, list):
        return {name for item in value for name in _unknown(kind, item)}
    if not isinstance(value, dict) or not hasattr(kind, "attribute_map"):
        return set()
    attributes = {wire: attribute for attribute, wire in kind.attribute_map.items()}
    found = set(value) - set(attributes)
    for name in set(value) & set(attributes):
        inner = re.sub(r"list\[(.*)\]", r"\1", kind.openapi_types[attributes[name]])
        found |= _unknown(getattr(sdk, inner, None), value[name])
    return found
