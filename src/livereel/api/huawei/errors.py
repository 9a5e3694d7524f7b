"""What each error looks like on the wire: status, code, message, body.

Service errors are `{"error_code","error_msg","error_detail"}`; clients key on the code, people read `error_detail`, a
member of ours. Errors before the service is reached have the gateway's body, errors of log-in IAM's. Sources: spec
huawei-live-common.md section 5. docs/api/errors.md shows the tables; a test compares.
"""

from typing import Any, NamedTuple

from livereel.domain import errors

REQUEST_ILLEGAL = "Request Illegal"  # what samples of the API reference say, instead of the code table's text
NOT_FOUND = "The resource to access is not exists"
INTERNAL_DETAIL = "the server failed to do this; its log has the reason under this request id"


class UnknownApi(errors.LivereelError):
    """No operation has this path and method."""


class BodyTooLarge(errors.LivereelError):
    """The request body has more than 12 MB."""


class UriTooLong(errors.LivereelError):
    """Path and query have more than 32 KB."""


class HeadersTooLarge(errors.LivereelError):
    """A header has more than 32 KB, or all of them more than 128 KB."""


class UnsupportedMediaType(errors.LivereelError):
    """A body that is not JSON."""


class ApiNotSupported(errors.LivereelError):
    """An operation of an old edition of the API that this one replaced."""


class LinkRefused(errors.LivereelError):
    """A download link that is not signed by this server, was altered, or has expired."""


class Wire(NamedTuple):
    """Status, code and message of an error."""

    status: int
    code: str
    message: str


INTERNAL = Wire(500, "LIVE.100011005", "Internal server error.")

#: The first entry that fits the error's class, or one of its bases, counts.
WIRE: dict[type[errors.LivereelError], Wire] = {
    errors.InvalidParameter: Wire(400, "LIVE.100011001", REQUEST_ILLEGAL),
    errors.NoCommandTemplate: Wire(400, "LIVE.100011001", REQUEST_ILLEGAL),
    errors.NoKeyFrame: Wire(400, "LIVE.100011001", REQUEST_ILLEGAL),
    errors.StreamNotLive: Wire(404, "LIVE.100011001", NOT_FOUND),
    errors.NothingRecording: Wire(404, "LIVE.100011001", NOT_FOUND),
    errors.TaskExists: Wire(400, "LIVE.100011022", "LIVE.Record task exist."),
    errors.ResourceNotFound: Wire(404, "LIVE.103011019", "Resource does not exist."),
    errors.ResourceExists: Wire(400, "LIVE.103011018", "Resource already exists."),
    errors.RecordingHeld: Wire(409, "LIVE.103011022", "Operation not allowed in the current state."),
    errors.RecordingNotOver: Wire(409, "LIVE.103011022", "Operation not allowed in the current state."),
    errors.DomainLimitReached: Wire(400, "LIVE.103011020", "Maximum number of domain names reached."),
    errors.DomainNotOff: Wire(400, "LIVE.103011022", "Operation not allowed in the current state."),
    ApiNotSupported: Wire(400, "LIVE.100011006", "The API is not supported in this version."),
    UnsupportedMediaType: Wire(400, "LIVE.100011012", "Unsupported media type."),
    errors.ProjectMismatch: Wire(401, "LIVE.100011015", "Project ID verification failed."),
    errors.AuthenticationFailed: Wire(401, "APIGW.0301", "Incorrect IAM authentication information"),
    errors.PermissionDenied: Wire(403, "APIGW.0302", "The IAM user is not authorized to access the API"),
    LinkRefused: Wire(403, "APIGW.0306", "Access denied"),
    UnknownApi: Wire(404, "APIGW.0101", "The API does not exist or has not been published in the environment"),
    BodyTooLarge: Wire(413, "APIGW.0201", "Request body too large"),
    UriTooLong: Wire(414, "APIGW.0201", "Request URI too large"),
    HeadersTooLarge: Wire(494, "APIGW.0201", "Request headers too large"),
    errors.RateLimited: Wire(429, "APIGW.0308", "The throttling threshold has been reached"),
    errors.DiskFull: Wire(503, "LIVE.100011005", "Internal server error."),
    errors.ShuttingDown: Wire(503, "LIVE.100011005", "Internal server error."),
    errors.LivereelError: INTERNAL,
}

_UNKNOWN_ID = Wire(404, "LIVE.100011001", NOT_FOUND)

#: Where an operation answers an error in its own way.
WIRE_OF_OPERATION: dict[tuple[str, type[errors.LivereelError]], Wire] = {
    ("ShowRecordRule", errors.ResourceNotFound): _UNKNOWN_ID,
    ("UpdateRecordRule", errors.ResourceNotFound): _UNKNOWN_ID,
    ("DeleteRecordRule", errors.ResourceNotFound): _UNKNOWN_ID,
    ("ShowRecordCallbackConfig", errors.ResourceNotFound): _UNKNOWN_ID,
    ("UpdateRecordCallbackConfig", errors.ResourceNotFound): _UNKNOWN_ID,
    ("DeleteRecordCallbackConfig", errors.ResourceNotFound): _UNKNOWN_ID,
    ("DeleteDomain", errors.ResourceNotFound): Wire(400, "LIVE.103011019", "Resource does not exist."),
    ("DeleteDomainMapping", errors.ResourceNotFound): Wire(400, "LIVE.103011019", "Resource does not exist."),
    ("DeleteStreamForbidden", errors.UnknownDomain): Wire(403, "LIVE.100011001", REQUEST_ILLEGAL),
}

_GATEWAY = (UnknownApi, BodyTooLarge, UriTooLong, HeadersTooLarge)

_IAM_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_IAM_INVALID_BODY = "The request body is invalid"


def wire(error: errors.LivereelError, operation: str | None = None) -> Wire:
    """Status, code and message of `error` when `operation` raised it."""
    return wire_of(type(error), operation)


def wire_of(error: type[errors.LivereelError], operation: str | None = None) -> Wire:
    """Status, code and message of a kind of error when `operation` raised it."""
    for kind in error.__mro__:
        if (found := WIRE_OF_OPERATION.get((operation or "", kind)) or WIRE.get(kind)) is not None:
            return found
    return INTERNAL


def is_of_gateway(error: type[errors.LivereelError], *, authenticated: bool) -> bool:
    """True for what is refused before the service is reached.

    `authenticated`: the operation wants credentials. Without, it is IAM's log-in that refuses them.
    """
    return issubclass(error, _GATEWAY) or (authenticated and issubclass(error, errors.AuthenticationFailed))


def body(error: errors.LivereelError, *, operation: str | None, gateway_request_id: str) -> dict[str, Any]:
    """The JSON body of `error`. `gateway_request_id` has 32 hex digits and is shown in gateway bodies only."""
    found = wire(error, operation)
    if found.code.startswith("LIVE."):
        detail = error.detail if found is not INTERNAL else INTERNAL_DETAIL
        return {"error_code": found.code, "error_msg": found.message, "error_detail": detail}
    message = found.message
    if isinstance(error, errors.AuthenticationFailed):
        message = f"{message}: {error.detail}"
    reply = {"error_msg": message, "error_code": found.code, "request_id": gateway_request_id}
    if isinstance(error, errors.PermissionDenied | LinkRefused):
        reply["error_detail"] = error.detail
    return reply


def iam_body(error: errors.LivereelError) -> tuple[int, dict[str, Any]]:
    """Status and body of an error of `/v3`, in IAM's own form."""
    status = wire(error).status
    message = error.detail if status != 500 else INTERNAL_DETAIL
    if isinstance(error, errors.InvalidParameter):
        message = _IAM_INVALID_BODY
    if status not in _IAM_TITLES:
        status = 400
    return status, {"error": {"code": status, "message": message, "title": _IAM_TITLES[status]}}
