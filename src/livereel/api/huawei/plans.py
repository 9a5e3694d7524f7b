"""schedule/record/tasks: planned recordings (spec huawei-live-recording.md section 7). Times are Unix seconds here."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator, Field

from livereel.api.huawei import requests
from livereel.api.services import ApiServices
from livereel.control.plans import PlanFilter
from livereel.domain.keys import StreamKey
from livereel.domain.recordings import PlanTask

TIME_MAX = 9_999_999_999  # ten digits, the year 2286
Seconds = Annotated[int, BeforeValidator(requests.whole_number), Field(ge=0, le=TIME_MAX)]
OptionalSeconds = Annotated[Seconds | None, BeforeValidator(requests.empty_is_absent)]


class PlanBody(requests.Body):
    domain: requests.DomainName
    app: requests.AppName
    stream: requests.StreamName
    start_time: Annotated[int | None, Field(ge=0, le=TIME_MAX)] = None
    end_time: Annotated[int, Field(ge=0, le=TIME_MAX)]
    template_id: Annotated[requests.Text, Field(min_length=1, max_length=requests.TEXT_MAX)]


class PlanListQuery(requests.Query):
    start_time: OptionalSeconds = None
    end_time: Seconds
    domain: requests.Filter = None
    app: requests.Filter = None
    stream: requests.Filter = None
    task_id: requests.Filter = None
    offset: requests.Offset = 0
    limit: requests.Limit = requests.LIMIT_DEFAULT

    def filter(self) -> PlanFilter:
        """What to list; raises InvalidParameter."""
        return PlanFilter(
            start=self.start_time,
            end=self.end_time,
            domain=self.domain,
            app=self.app,
            stream=self.stream,
            plan_id=self.task_id,
        )


class PlanQuery(requests.Query):
    task_id: Annotated[requests.Text, Field(min_length=1, max_length=requests.TEXT_MAX)]


def reply(plan: PlanTask) -> dict[str, Any]:
    """An item of the listing. A `stop_time` of 0 says that the plan is in force."""
    return {
        "task_id": plan.id,
        "domain": plan.key.domain,
        "app": plan.key.app,
        "stream": plan.key.stream,
        "start_time": int(plan.start_at),
        "end_time": int(plan.end_at),
        "template_id": plan.template_id,
        "stop_time": int(plan.stop_at) if plan.stop_at is not None else 0,
    }


def add(routes: APIRouter, services: ApiServices) -> None:
    """The routes of schedule/record/tasks."""
    path = "/schedule/record/tasks"

    @routes.post(path, operation_id="CreateScheduleRecordTasks", tags=["plans"])
    async def create_plan(project_id: str, body: PlanBody) -> Response:
        """Plan a recording; without `start_time` it begins as soon as the stream is there."""
        plan = await services.plans.create(
            project_id,
            StreamKey.parse(body.domain, body.app, body.stream),
            body.template_id,
            start_at=body.start_time,
            end_at=body.end_time,
        )
        return JSONResponse({"task_id": plan.id})

    @routes.get(path, operation_id="ListScheduleRecordTasks", tags=["plans"])
    async def list_plans(project_id: str, query: Annotated[PlanListQuery, Query()]) -> Response:
        """List plans that lie wholly between two times."""
        page = await services.plans.list(project_id, query.filter(), offset=query.offset, limit=query.limit)
        tasks = [reply(plan) for plan in page.items]
        return JSONResponse({"total": page.total, "offset": query.offset, "limit": query.limit, "tasks": tasks})

    @routes.delete(path, status_code=204, operation_id="DeleteScheduleRecordTasks", tags=["plans"])
    async def delete_plan(project_id: str, query: Annotated[PlanQuery, Query()]) -> Response:
        """Stop a plan and end what it records; the files are finished in the background."""
        await services.plans.delete(project_id, query.task_id)
        return Response(status_code=204)
