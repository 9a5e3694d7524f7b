"""domains_mapping, domain/stream-backup, guard/key-chain and auth/chain.

Spec huawei-live-streams-domains.md sections 3.2, 3.3, 4.1 and 4.3.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator, Field

from livereel.api.huawei import requests
from livereel.api.services import ApiServices
from livereel.domain.tenancy import (
    KEY_CHAIN_KEY_LENGTH,
    KEY_CHAIN_TIMEOUT_MAX,
    KEY_CHAIN_TIMEOUT_MIN,
    AuthType,
    DomainMapping,
    DomainType,
    KeyChain,
)
from livereel.iam.url_signing import CheckLevel


class MappingBody(requests.Body):
    pull_domain: requests.DomainName
    push_domain: requests.DomainName


class MappingQuery(requests.Query):
    pull_domain: requests.DomainName
    push_domain: requests.DomainName


class BackupBody(requests.Body):
    publish_domain: requests.DomainName
    stream_backup_enable: bool | None = None


class BackupQuery(requests.Query):
    publish_domain: requests.DomainName


class KeyChainBody(requests.Body):
    key: Annotated[requests.Text, Field(min_length=KEY_CHAIN_KEY_LENGTH, max_length=KEY_CHAIN_KEY_LENGTH)]
    auth_type: Literal["d_sha256", "c_aes", "b_md5", "a_md5"]
    timeout: Annotated[int, Field(ge=KEY_CHAIN_TIMEOUT_MIN, le=KEY_CHAIN_TIMEOUT_MAX)]


class AuthChainBody(requests.Body):
    domain: requests.DomainName
    domain_type: Literal["push", "pull"]
    stream: requests.StreamName
    app: requests.AppName
    check_level: Literal[3, 5] | None = None
    start_time: Annotated[requests.Time | None, BeforeValidator(requests.empty_is_absent)] = None


def add(routes: APIRouter, services: ApiServices) -> None:
    """The routes of what is set for domains."""
    _mapping(routes, services)
    _backup(routes, services)
    _key_chain(routes, services)


def _mapping(routes: APIRouter, services: ApiServices) -> None:
    path = "/domains_mapping"

    @routes.put(path, operation_id="CreateDomainMapping", tags=["domains"])
    async def map_domains(project_id: str, body: MappingBody) -> Response:
        """Say through which streaming domain the streams of an ingest domain are played."""
        await services.domains.map(project_id, DomainMapping(body.pull_domain, body.push_domain, project_id))
        return JSONResponse({"pull_domain": body.pull_domain, "push_domain": body.push_domain})

    @routes.delete(path, operation_id="DeleteDomainMapping", tags=["domains"])
    async def unmap_domains(project_id: str, query: Annotated[MappingQuery, Query()]) -> Response:
        """Remove the mapping of two domains."""
        await services.domains.unmap(project_id, query.pull_domain, query.push_domain)
        return Response(status_code=200)


def _backup(routes: APIRouter, services: ApiServices) -> None:
    path = "/domain/stream-backup"

    @routes.put(path, operation_id="ModifyDomainStreamBackup", tags=["domains"])
    async def set_backup(project_id: str, body: BackupBody) -> Response:
        """Say whether several encoders may push one stream, the next taking over when the first breaks."""
        enabled = bool(body.stream_backup_enable)
        await services.domains.set_stream_backup(project_id, body.publish_domain, enabled)
        return JSONResponse({"publish_domain": body.publish_domain, "stream_backup_enable": enabled})

    @routes.get(path, operation_id="ShowDomainStreamBackup", tags=["domains"])
    async def show_backup(project_id: str, query: Annotated[BackupQuery, Query()]) -> Response:
        """Show whether several encoders may push one stream."""
        enabled = await services.domains.stream_backup(project_id, query.publish_domain)
        return JSONResponse({"publish_domain": query.publish_domain, "stream_backup_enable": enabled})


def _key_chain(routes: APIRouter, services: ApiServices) -> None:
    path = "/guard/key-chain"

    @routes.get(path, operation_id="ShowDomainKeyChain", tags=["url signing"])
    async def show_key_chain(project_id: str, query: Annotated[requests.DomainQuery, Query()]) -> Response:
        """Show how URLs of a domain are signed; an empty `key` means that they are not."""
        chain = await services.url_guard.get(project_id, query.domain)
        if chain is None:
            return JSONResponse({"key": ""})
        return JSONResponse({"key": chain.key, "auth_type": chain.auth_type.value, "timeout": chain.timeout})

    @routes.put(path, operation_id="UpdateDomainKeyChain", tags=["url signing"])
    async def set_key_chain(
        project_id: str, query: Annotated[requests.DomainQuery, Query()], body: KeyChainBody
    ) -> Response:
        """Refuse pushes to a domain whose URL is not signed."""
        chain = KeyChain(query.domain, body.key, AuthType(body.auth_type), body.timeout)
        await services.url_guard.put(project_id, chain)
        return Response(status_code=200)

    @routes.delete(path, status_code=204, operation_id="DeleteDomainKeyChain", tags=["url signing"])
    async def delete_key_chain(project_id: str, query: Annotated[requests.DomainQuery, Query()]) -> Response:
        """Take unsigned URLs again."""
        await services.url_guard.delete(project_id, query.domain)
        return Response(status_code=204)

    @routes.post("/auth/chain", operation_id="CreateUrlAuthchain", tags=["url signing"])
    async def sign_url(project_id: str, body: AuthChainBody) -> Response:
        """Make query strings that sign push or play URLs of a stream."""
        made = await services.url_guard.sign(
            project_id,
            body.domain,
            DomainType(body.domain_type),
            body.app,
            body.stream,
            CheckLevel(body.check_level) if body.check_level else None,
            requests.parse_time(body.start_time) if body.start_time else None,
        )
        return JSONResponse({"keychain": made})
