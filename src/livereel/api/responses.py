"""Turning errors into ASGI responses, in the form that the path's family has."""

from typing import Any, cast

from fastapi.responses import JSONResponse
from starlette.types import Scope

from livereel.api.huawei import errors
from livereel.api.huawei.operations import Operation
from livereel.api.request_id import RequestId
from livereel.domain.errors import InvalidParameter, LivereelError

OPERATION_KEY = "livereel.operation"
REQUEST_ID_KEY = "livereel.request_id"
REFUSAL_KEY = "livereel.refusal"  # the error a request was answered with, for the log


def error_response(scope: Scope, error: LivereelError) -> JSONResponse:
    """The reply to a request that failed with `error`."""
    scope[REFUSAL_KEY] = error
    operation = cast(Operation | None, scope.get(OPERATION_KEY))
    if _is_iam(scope) and not errors.is_of_gateway(type(error), authenticated=operation is not None):
        status, content = errors.iam_body(error)
        return JSONResponse(content, status)
    request_id = cast(RequestId, scope[REQUEST_ID_KEY])
    name = operation.name if operation else None
    content = errors.body(error, operation=name, gateway_request_id=request_id.uuid.hex)
    return JSONResponse(content, errors.wire(error, name).status)


def internal_error(scope: Scope) -> JSONResponse:
    """The reply to a request that failed for a reason only the log knows."""
    return error_response(scope, LivereelError(errors.INTERNAL_DETAIL))


def invalid(problems: list[Any]) -> LivereelError:
    """What FastAPI found wrong with a request, as InvalidParameter whose detail names the members."""
    shown = "; ".join(_describe(problem) for problem in problems[:_SHOWN])
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return InvalidParameter(shown + more)


_SHOWN = 5  # problems named in one reply; the rest is only counted


def _describe(problem: Any) -> str:
    where, *path = problem["loc"]
    if problem["type"] == "json_invalid":
        return f"the body is not valid JSON (at character {path[0]}): {problem['ctx']['error']}"
    if where == "body" and not path:
        return "a JSON object is wanted as the request body"
    name = ".".join(str(part) for part in path)
    message = problem["msg"].removeprefix("Value error, ")
    if isinstance(problem["input"], str) and problem["type"] in {"too_short", "too_long"}:
        # Of text that was looked at before its length, the validator says that it has "items after validation".
        bounds = problem["ctx"]
        limit = f"at least {bounds['min_length']}" if "min_length" in bounds else f"at most {bounds['max_length']}"
        length = len(problem["input"])
        message = f"must have {limit} characters, not {length}" if length else "must not be empty"
    return f"{name} ({where}): {message}"


def _is_iam(scope: Scope) -> bool:
    return str(scope["path"]).startswith("/v3/")
