"""The Live operations: translate, call a use case, translate back. Permissions are checked before, in `auth`."""

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from livereel.api.huawei import (
    buckets,
    callbacks,
    domain_settings,
    indexes,
    legacy,
    messages,
    plans,
    pulls,
    recordings,
    replies,
    requests,
    snapshots,
    streams,
    uploads,
)
from livereel.api.services import ApiServices
from livereel.domain.keys import StreamKey
from livereel.domain.messages import NotificationConfig
from livereel.domain.templates import RecordType
from livereel.domain.tenancy import DomainStatus


def router(services: ApiServices) -> APIRouter:
    """The routes under /v1/{project_id}."""
    routes = APIRouter(prefix="/v1/{project_id}", redirect_slashes=False)
    _control(routes, services)
    _rules(routes, services)
    _contents(routes, services)
    _notifications(routes, services)
    _domains(routes, services)
    callbacks.add(routes, services)
    messages.add(routes, services)
    streams.add(routes, services)
    plans.add(routes, services)
    indexes.add(routes, services)
    buckets.add(routes, services)
    legacy.add(routes)
    domain_settings.add(routes, services)
    snapshots.add(routes, services)
    pulls.add(routes, services)
    recordings.add(routes, services)
    uploads.add(routes, services)
    return routes


def _control(routes: APIRouter, services: ApiServices) -> None:
    @routes.post("/record/control", operation_id="RunRecord", tags=["recording"])
    async def run_record(
        project_id: str, query: Annotated[requests.ControlQuery, Query()], body: requests.ControlBody
    ) -> Response:
        """Start or stop recording a live stream. 200 to START says that the first key frame is on disk."""
        key = StreamKey.parse(body.publish_domain, body.app, body.stream)
        structlog.contextvars.bind_contextvars(stream=str(key))  # on all that is logged for this command
        if query.action == "START":
            task_id = await services.recording.start(project_id, key, body.options())
        else:
            task_id = await services.recording.stop(project_id, key)
        structlog.contextvars.bind_contextvars(task=task_id)
        return Response(status_code=200)


def _rules(routes: APIRouter, services: ApiServices) -> None:
    @routes.post("/record/rules", status_code=201, operation_id="CreateRecordRule", tags=["templates"])
    async def create_rule(project_id: str, body: requests.RuleBody) -> Response:
        """Create a recording template."""
        return JSONResponse(replies.rule(await services.templates.create(project_id, body.template())), 201)

    @routes.get("/record/rules", operation_id="ListRecordRules", tags=["templates"])
    async def list_rules(project_id: str, query: Annotated[requests.RuleListQuery, Query()]) -> Response:
        """List recording templates; filters compare exactly."""
        if query.record_type is not None and not requests.is_recorded(query.record_type):
            return JSONResponse({"total": 0, "record_config": []})
        page = await services.templates.list(
            project_id,
            domain=query.publish_domain,
            app=query.app,
            stream=query.stream,
            record_type=RecordType(query.record_type) if query.record_type else None,
            offset=query.offset,
            limit=query.limit,
        )
        return JSONResponse({"total": page.total, "record_config": [replies.rule(item) for item in page.items]})

    @routes.get("/record/rules/{id}", operation_id="ShowRecordRule", tags=["templates"])
    async def show_rule(project_id: str, id: str) -> Response:
        """Show a recording template."""
        return JSONResponse(replies.rule(await services.templates.get(project_id, id)))

    @routes.put("/record/rules/{id}", operation_id="UpdateRecordRule", tags=["templates"])
    async def update_rule(project_id: str, id: str, body: requests.RuleBody) -> Response:
        """Replace a recording template; recordings that run keep the old one."""
        return JSONResponse(replies.rule(await services.templates.update(project_id, id, body.template())))

    @routes.delete("/record/rules/{id}", status_code=204, operation_id="DeleteRecordRule", tags=["templates"])
    async def delete_rule(project_id: str, id: str) -> Response:
        """Delete a recording template; recordings that run go on."""
        await services.templates.delete(project_id, id)
        return Response(status_code=204)


def _contents(routes: APIRouter, services: ApiServices) -> None:
    @routes.get("/record/contents", operation_id="ListRecordContents", tags=["recording"])
    async def list_contents(project_id: str, query: Annotated[requests.ContentsQuery, Query()]) -> Response:
        """List stored record files, newest first, with download links that work for a short time."""
        wanted = query.filter()
        if wanted is None:
            return JSONResponse({"total": 0, "record_contents": []})
        page = await services.contents.list(project_id, wanted, offset=query.offset, limit=query.limit)
        now = services.clock.now()
        items = [
            replies.content(
                file, services.download_urls.sign(file.bucket, file.object_key, now, services.download_lifetime)
            )
            for file in page.items
        ]
        return JSONResponse({"total": page.total, "record_contents": items})


def _notifications(routes: APIRouter, services: ApiServices) -> None:
    path = "/notifications/publish"

    @routes.put(path, operation_id="UpdatePublishTemplate", tags=["notifications"])
    async def put_notification(
        project_id: str, query: Annotated[requests.DomainQuery, Query()], body: requests.NotificationBody
    ) -> Response:
        """Say where stream-status notifications of a domain go: 201 the first time, then 200."""
        config = NotificationConfig(
            domain=query.domain, url=body.url, key=body.auth_sign_key or "", call_back_area=body.call_back_area or ""
        )
        created = await services.notifications.put(project_id, config)
        return Response(status_code=201 if created else 200)

    @routes.get(path, operation_id="ListPublishTemplate", tags=["notifications"])
    async def show_notification(project_id: str, query: Annotated[requests.DomainQuery, Query()]) -> Response:
        """Show where stream-status notifications of a domain go; an empty `url` means nowhere."""
        return JSONResponse(replies.notification(await services.notifications.get(project_id, query.domain)))

    @routes.delete(path, status_code=204, operation_id="DeletePublishTemplate", tags=["notifications"])
    async def delete_notification(project_id: str, query: Annotated[requests.DomainQuery, Query()]) -> Response:
        """Send no stream-status notifications of a domain any more."""
        await services.notifications.delete(project_id, query.domain)
        return Response(status_code=204)


def _domains(routes: APIRouter, services: ApiServices) -> None:
    cname = services.hostname

    @routes.post("/domain", status_code=201, operation_id="CreateDomain", tags=["domains"])
    async def create_domain(project_id: str, body: requests.NewDomainBody) -> Response:
        """Create an ingest or streaming domain; it is on at once."""
        created = await services.domains.create(project_id, body.new_domain())
        return JSONResponse(replies.domain(created, cname), 201)

    @routes.get("/domain", operation_id="ShowDomain", tags=["domains"])
    async def show_domains(project_id: str, query: Annotated[requests.DomainListQuery, Query()]) -> Response:
        """Show one domain, or all of the project."""
        if query.domain is not None:
            found = [await services.domains.get(project_id, query.domain)]
        else:
            found = await services.domains.list(project_id)
        if query.enterprise_project_id is not None:
            found = [item for item in found if item.enterprise_project_id == query.enterprise_project_id]
        mapped = await services.domains.mappings(project_id)
        items: list[dict[str, Any]] = [replies.domain_item(item, cname, mapped.get(item.name, "")) for item in found]
        return JSONResponse({"total": len(items), "domain_info": items})

    @routes.put("/domain", operation_id="UpdateDomain", tags=["domains"])
    async def update_domain(project_id: str, body: requests.DomainUpdateBody) -> Response:
        """Switch a domain on or off."""
        updated = await services.domains.update(
            project_id,
            body.domain,
            status=DomainStatus(body.status) if body.status else None,
            enterprise_project_id=body.enterprise_project_id,
        )
        return JSONResponse(replies.domain(updated, cname))

    @routes.delete("/domain", status_code=204, operation_id="DeleteDomain", tags=["domains"])
    async def delete_domain(project_id: str, query: Annotated[requests.DomainQuery, Query()]) -> Response:
        """Delete a domain that is off."""
        await services.domains.delete(project_id, query.domain)
        return Response(status_code=204)
