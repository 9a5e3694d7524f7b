"""record/config: the operations that record/rules replaced; refused as documented (spec section 8)."""

from fastapi import APIRouter, Response

from livereel.api.huawei.errors import ApiNotSupported

_REASON = "record/config is the API before 2021; use recording templates (record/rules)"


def add(routes: APIRouter) -> None:
    """The routes of record/config. Whatever the request holds, the answer is the same."""
    path = "/record/config"

    @routes.post(path, operation_id="CreateRecordConfig", tags=["legacy"], deprecated=True)
    async def create_config(project_id: str) -> Response:
        """Not supported."""
        raise ApiNotSupported(_REASON)

    @routes.get(path, operation_id="ListRecordConfigs", tags=["legacy"], deprecated=True)
    async def list_configs(project_id: str) -> Response:
        """Not supported."""
        raise ApiNotSupported(_REASON)

    @routes.delete(path, operation_id="DeleteRecordConfig", tags=["legacy"], deprecated=True)
    async def delete_config(project_id: str) -> Response:
        """Not supported."""
        raise ApiNotSupported(_REASON)
