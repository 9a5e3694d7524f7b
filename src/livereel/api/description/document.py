"""The OpenAPI document: FastAPI's own, with true answers, refusals and credentials in place of its guesses."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from livereel.api import request_id
from livereel.api.description.refusals import ALWAYS, DOWNLOAD, LOGIN, METRICS, Refusal, refusals
from livereel.api.description.replies import MORE_STATUSES, REPLIES, TEXT, Schema, object_of, some
from livereel.api.huawei import errors
from livereel.api.huawei.operations import OPERATIONS, Operation

_OPERATIONS = {operation.name: operation for operation in OPERATIONS}
_GUESSED = "422"  # FastAPI's status for malformed requests, which are answered with 400 here

_SECURITY = {
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "SDK-HMAC-SHA256 Access=..., SignedHeaders=..., Signature=... as the official SDKs compute it, "
        "with X-Sdk-Date among the signed headers.",
    },
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Auth-Token",
        "description": "A token of POST /v3/auth/tokens.",
    },
}
_SCHEMAS: dict[str, Schema] = {
    "ServiceError": object_of(error_code=TEXT, error_msg=TEXT, error_detail=TEXT),
    "GatewayError": object_of(some(error_detail=TEXT), error_msg=TEXT, error_code=TEXT, request_id=TEXT),
    "IamError": object_of(error=object_of(code={"type": "integer"}, message=TEXT, title=TEXT)),
}
_REQUEST_ID = {
    request_id.HEADER.decode(): {
        "description": "Names the request in the server's log.",
        "required": True,
        "schema": TEXT,
    }
}
_BINARY: dict[str, Schema] = {"application/octet-stream": {}}
_LINK = [
    {"name": name, "in": "query", "required": True, "schema": TEXT, "description": "Part of the signed link."}
    for name in ("expires", "signature")
]
_CONDITIONS = [
    {"name": name, "in": "header", "required": False, "schema": TEXT} for name in ("Range", "If-Range", "If-None-Match")
]


def described(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """A replacement for `app.openapi` that tells what is true."""
    generate = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(generate())
        assert app.openapi_schema is not None
        return app.openapi_schema

    return document


def _complete(document: dict[str, Any]) -> None:
    components = document.setdefault("components", {})
    components["securitySchemes"] = _SECURITY
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    components["schemas"] |= _SCHEMAS
    for path, methods in document["paths"].items():
        for details in methods.values():
            details["responses"] = _responses(path, details)
            if details["operationId"] in _OPERATIONS:
                details["security"] = [{"signature": []}, {"token": []}]
            if details["operationId"] == "DownloadFile":
                details["parameters"] += _LINK + _CONDITIONS


def _responses(path: str, details: dict[str, Any]) -> dict[str, Any]:
    name = details["operationId"]
    operation = _OPERATIONS.get(name)
    if name == "DownloadFile":
        return _download() | _refused(path, None, (*ALWAYS, *DOWNLOAD))
    answers: dict[str, Any] = {}
    if "legacy" not in details.get("tags", ()):
        (usual,) = (status for status in details["responses"] if status != _GUESSED)
        for status in (usual, *map(str, MORE_STATUSES.get(name, ()))):
            answers[status] = _answer(name, status)
    if name == "KeystoneCreateUserTokenByPassword":
        answers["201"]["headers"] = _REQUEST_ID | {"X-Subject-Token": {"required": True, "schema": TEXT}}
        return answers | _refused(path, None, (*ALWAYS, *LOGIN))
    if name == "Metrics":
        return answers | _refused(path, None, (*ALWAYS, *METRICS))
    return answers | _refused(path, operation, refusals(operation) if operation is not None else ALWAYS)


def _answer(name: str, status: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(int(status)).phrase, "headers": _REQUEST_ID}
    if name == "Metrics":
        answer["content"] = {"text/plain": {"schema": TEXT}}
    elif (schema := REPLIES.get(name)) is not None:
        answer["content"] = {"application/json": {"schema": schema}}
    return answer


def _refused(path: str, operation: Operation | None, kinds: Iterable[Refusal]) -> dict[str, Any]:
    """One response for each status, with the codes that it comes with."""
    codes: dict[int, dict[str, None]] = {}
    forms: dict[int, set[str]] = {}
    for kind in kinds:
        found = errors.wire_of(kind, operation.name if operation else None)
        status, form = found.status, "ServiceError" if found.code.startswith("LIVE.") else "GatewayError"
        if path.startswith("/v3/") and not _before_iam(kind, operation):
            form = "IamError"
        codes.setdefault(status, {})[f"`{found.code}` {found.message}"] = None
        forms.setdefault(status, set()).add(form)
    return {
        str(status): {
            "description": "; ".join(codes[status]),
            "headers": _REQUEST_ID,
            "content": {"application/json": {"schema": _either(sorted(forms[status]))}},
        }
        for status in sorted(codes)
    }


def _before_iam(kind: Refusal, operation: Operation | None) -> bool:
    return errors.is_of_gateway(kind, authenticated=operation is not None)


def _either(names: list[str]) -> Schema:
    references = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    return references[0] if len(references) == 1 else {"oneOf": references}


def _download() -> dict[str, Any]:
    texts = {
        "200": "The file; of a playlist, with signed links to its slices",
        "206": "The part that Range asks for",
        "304": "If-None-Match names the file as it is",
        "416": "Range lies outside the file",
    }
    return {
        status: {"description": text, "headers": _REQUEST_ID} | ({"content": _BINARY} if status[0] == "2" else {})
        for status, text in texts.items()
    }
