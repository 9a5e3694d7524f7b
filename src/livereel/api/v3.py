"""The two IAM calls that Live clients make first: log-in for a token, and the project of a name.

Source: spec huawei-live-common.md section 4 (Obtaining a User Token Through Password Authentication; Querying Projects
by Criteria, IAM API Reference 2023-02-23).
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from livereel.api.auth.middleware import PRINCIPAL_KEY
from livereel.api.huawei.requests import Text
from livereel.api.services import ApiServices
from livereel.domain.tenancy import Principal, Project
from livereel.iam.service import ACCOUNT_ID, ACCOUNT_NAME, IssuedToken, TokenRequest

PER_PAGE_MAX = 5000

_ACCOUNT = {"id": ACCOUNT_ID, "name": ACCOUNT_NAME}
_Text = Annotated[Text, Field(min_length=1, max_length=255)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Named(_Body):
    name: _Text


class _User(_Body):
    name: _Text
    password: _Text
    domain: _Named


class _Password(_Body):
    user: _User


class _Identity(_Body):
    methods: Annotated[list[Literal["password"]], Field(min_length=1)]
    password: _Password


class _ScopeTarget(_Body):
    id: _Text | None = None
    name: _Text | None = None


class _Scope(_Body):
    project: _ScopeTarget | None = None
    domain: _ScopeTarget | None = None


class _Auth(_Body):
    identity: _Identity
    scope: _Scope | None = None


class LoginBody(_Body):
    """`POST /v3/auth/tokens`."""

    auth: _Auth

    def token_request(self) -> TokenRequest:
        """A project beats a domain; without either it is the user's own project."""
        user = self.auth.identity.password.user
        scope = self.auth.scope or _Scope()
        return TokenRequest(
            user_name=user.name,
            password=user.password,
            account_name=user.domain.name,
            project_id=scope.project.id if scope.project else None,
            project_name=scope.project.name if scope.project else None,
            account_scope=scope.domain is not None and scope.project is None,
        )


class ProjectsQuery(BaseModel):
    """`GET /v3/projects`."""

    name: str | None = None
    domain_id: str | None = None
    parent_id: str | None = None
    enabled: bool | None = None
    page: Annotated[int, Field(ge=1, le=2**31)] = 1
    per_page: Annotated[int, Field(ge=1, le=PER_PAGE_MAX)] = PER_PAGE_MAX


def router(services: ApiServices) -> APIRouter:
    """The routes under /v3."""
    routes = APIRouter(prefix="/v3", tags=["iam"], redirect_slashes=False)

    @routes.post("/auth/tokens", status_code=201, operation_id="KeystoneCreateUserTokenByPassword")
    async def create_token(body: LoginBody, nocatalog: str | None = None) -> Response:
        """Log in with a password; the token comes in the header X-Subject-Token."""
        issued = await services.iam.issue_token(body.token_request())
        return JSONResponse(_token(issued, with_catalog=not nocatalog), 201, {"X-Subject-Token": issued.text})

    @routes.get("/projects", operation_id="KeystoneListProjects")
    async def list_projects(request: Request, query: Annotated[ProjectsQuery, Query()]) -> Response:
        """The caller's project, if it has the name that is asked for."""
        principal = cast(Principal, request.scope[PRINCIPAL_KEY])
        mine = [item for item in await services.iam.projects(query.name) if item.id == principal.project_id]
        elsewhere = query.enabled is False or any(
            given not in {None, ACCOUNT_ID} for given in (query.domain_id, query.parent_id)
        )
        begin = (query.page - 1) * query.per_page
        shown = [] if elsewhere else mine[begin : begin + query.per_page]
        return JSONResponse({"projects": [_project(item) for item in shown], "links": _links(str(request.url.path))})

    return routes


def _project(project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "domain_id": ACCOUNT_ID,
        "parent_id": ACCOUNT_ID,
        "is_domain": False,
        "enabled": True,
        "description": "",
        "links": _links(f"/v3/projects/{project.id}"),
    }


def _links(path: str) -> dict[str, str | None]:
    return {"self": path, "next": None, "previous": None}


def _token(issued: IssuedToken, *, with_catalog: bool) -> dict[str, Any]:
    token: dict[str, Any] = {
        "expires_at": _time(issued.token.expires_at),
        "issued_at": _time(issued.token.issued_at),
        "methods": ["password"],
        "roles": [{"id": "0", "name": "livereel_user"}],
        "user": {
            "id": issued.user.id,
            "name": issued.user.name,
            "password_expires_at": "",
            "domain": _ACCOUNT,
        },
    }
    if with_catalog:
        token["catalog"] = []
    if issued.project is None:
        token["domain"] = _ACCOUNT
    else:
        token["project"] = {"id": issued.project.id, "name": issued.project.name, "domain": _ACCOUNT}
    return {"token": token}


def _time(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
