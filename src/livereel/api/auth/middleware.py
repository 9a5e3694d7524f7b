"""Who is it, may they, was it seen before: asked of every operation before FastAPI parses anything.

The order is the gateway's, then the service's: unknown operation, no credentials, body too large, wrong credentials,
too many requests, project, permission; then the operation's own checks. Paths that need no credentials (downloads,
health) pass straight through, log-in with nothing but the limit on its body.
"""

import contextlib
from typing import NamedTuple, cast

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from livereel.api import request_id
from livereel.api.auth.body import LOGIN_BODY_MAX, Body, Budget, Disconnected, replaying
from livereel.api.auth.replay import MUTATIONS, Answer, Recorder, Replays
from livereel.api.huawei.errors import UnknownApi, UnsupportedMediaType
from livereel.api.huawei.operations import Operation, find
from livereel.api.limits import RateLimits
from livereel.api.request_id import RequestId
from livereel.api.responses import OPERATION_KEY, REQUEST_ID_KEY, error_response, internal_error
from livereel.domain.errors import AuthenticationFailed, InvalidParameter, LivereelError, ProjectMismatch
from livereel.domain.tenancy import Principal
from livereel.iam.service import Iam
from livereel.iam.signature import WINDOW, SignedRequest, parse_authorization, signed_at

log = structlog.get_logger()

PRINCIPAL_KEY = "livereel.principal"

_PREFIXES = ("/v1/", "/v3/")
_LOGIN = "/v3/auth/tokens"
_CREDENTIALS = frozenset({b"authorization", b"x-auth-token"})
_MARGIN = 1.0  # seconds an answer outlives the signature, whatever way the clocks' fractions fall


class _Signature(NamedTuple):
    """What is kept of a signature that was verified."""

    text: str
    expires_at: float


class Authentication:
    """ASGI application between the envelope and FastAPI."""

    def __init__(self, app: ASGIApp, *, iam: Iam, replays: Replays, rate_limits: RateLimits | None) -> None:
        self._app = app
        self._iam = iam
        self._rate_limits = rate_limits
        self._replays = replays
        self._budget = Budget()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        if scope["type"] != "http" or not path.startswith(_PREFIXES):
            await self._app(scope, receive, send)
            return
        body = Body(scope, receive, self._budget)
        try:
            if path == _LOGIN:
                await self._app(scope, replaying(await body.read(LOGIN_BODY_MAX), receive), send)
            else:
                await self._guarded(scope, receive, send, body)
        except Disconnected:
            return
        except LivereelError:
            body.close()
            with contextlib.suppress(Disconnected):
                await body.discard()
            raise
        finally:
            body.close()

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, incoming: Body) -> None:
        found = find(scope["method"], scope["path"])
        if found is None:
            raise UnknownApi(f"{scope['method']} {scope['path'][:200]}")
        operation, project_id = found
        scope[OPERATION_KEY] = operation
        if not _CREDENTIALS.intersection(name for name, _ in scope["headers"]):
            raise AuthenticationFailed("x-auth-token not found")
        body = await incoming.read()
        request = SignedRequest(
            scope["method"], scope["raw_path"], scope["query_string"], tuple(scope["headers"]), body
        )
        client = scope.get("client")
        principal, signature = await self._authenticate(request, client[0] if client else "")
        scope[PRINCIPAL_KEY] = principal
        if self._rate_limits is not None:
            self._rate_limits.admit(operation, principal.user_id)
        # What was signed counts: there "+" is a plus sign, while form decoding would make it a blank.
        scope["query_string"] = request.query.replace(b"+", b"%2B")

        async def answer() -> Answer:
            return await self._answer(scope, replaying(body, receive), principal, operation, project_id)

        if signature is not None and request.method in MUTATIONS:
            given = await self._replays.once(scope, signature.text, signature.expires_at, answer)
        else:
            given = await answer()
        await given.send(send)

    async def _authenticate(self, request: SignedRequest, client: str) -> tuple[Principal, _Signature | None]:
        authorization = request.header("authorization")
        if authorization is not None:
            principal = await self._iam.authenticate_signature(request, client)
            expires_at = signed_at(request) + WINDOW + _MARGIN
            return principal, _Signature(parse_authorization(authorization).signature, expires_at)
        return await self._iam.authenticate_token(request.header("x-auth-token") or ""), None

    async def _answer(
        self, scope: Scope, receive: Receive, principal: Principal, operation: Operation, project_id: str | None
    ) -> Answer:
        """The whole answer, errors included, with its request id."""
        recorder = Recorder()
        try:
            if project_id is not None and project_id != principal.project_id:
                raise ProjectMismatch(f"these credentials are not for project {project_id[:64]!r}")
            if operation.action is not None:
                await self._iam.authorize(principal, operation.action)
            check_media_type(scope)
            check_characters(scope)
            await self._app(scope, receive, recorder)
        except LivereelError as error:
            await error_response(scope, error)(scope, receive, recorder)
        except Exception:
            log.exception("operation_failed", operation=operation.name, request_id=str(scope[REQUEST_ID_KEY]))
            recorder = Recorder()
            await internal_error(scope)(scope, receive, recorder)
        made = recorder.answer
        assert made is not None, "every operation answers"
        identity = str(cast(RequestId, scope[REQUEST_ID_KEY])).encode()
        return made._replace(headers=[*made.headers, (request_id.HEADER, identity)])


def check_media_type(scope: Scope) -> None:
    """Raises UnsupportedMediaType for a POST or PUT that says it is anything but JSON."""
    if scope["method"] not in {"POST", "PUT"}:
        return
    given = next((value for name, value in scope["headers"] if name == b"content-type"), b"application/json")
    if not given.strip().lower().startswith(b"application/json"):
        raise UnsupportedMediaType(f"Content-Type must be application/json, not {given[:64].decode('latin-1')!r}")


def check_characters(scope: Scope) -> None:
    """Raises UnknownApi or InvalidParameter for a NUL: no name holds one and not every database can compare it."""
    if "\0" in scope["path"]:
        raise UnknownApi("a path with a NUL character")
    if b"%00" in scope["query_string"]:
        raise InvalidParameter("the query may not contain NUL characters")
