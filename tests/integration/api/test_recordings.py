"""livereel/recordings: shown, held, released, deleted; and retention rules in templates."""

from dataclasses import replace
from typing import Any

import pytest
import structlog

from livereel.domain.recordings import EndReason
from livereel.domain.states import FileState, TaskState
from tests.integration.catalogue.nouns import make_file, make_task

from .conftest import Api
from .test_wire import make_domain, rule

PATH = "livereel/recordings"
NOT_NOW = (409, "LIVE.103011022")


async def make(api: Api, state: TaskState = TaskState.COMPLETED, project_id: str | None = None) -> str:
    """A recording of one file; returns its id."""
    task = make_task(
        project_id=project_id or api.key.project_id, state=state, ended_at=1_784_614_600.0, end_reason=EndReason.STOP
    )
    async with api.catalogue.write() as uow:
        await uow.tasks.add(task)
        await uow.files.add(
            make_file(task, state=FileState.STORED, size=4711, ended_at=1_784_614_590.0, object_key=f"{task.id}.mp4")
        )
    return task.id


async def shown(api: Api, task_id: str) -> dict[str, Any]:
    reply = await api.call("GET", f"{PATH}/{task_id}")
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_a_recording_with_its_files(api: Api) -> None:
    task_id = await make(api)
    found = await shown(api, task_id)
    [file] = found.pop("files")
    assert found == {
        "task_id": task_id,
        "publish_domain": "push.example.com",
        "app": "live",
        "stream": "cam01",
        "record_type": "COMMAND_RECORD",
        "state": "completed",
        "start_time": "2026-07-21T06:15:28Z",
        "end_time": "2026-07-21T06:16:40Z",
        "end_reason": "stop",
        "held": False,
    }
    assert len(file.pop("job_id")) == 32
    assert file == {
        "record_format": "MP4",
        "state": "stored",
        "obs_addr": {"bucket": "rec-a", "location": "cn-north-4", "object": f"{task_id}.mp4"},
        "file_size": 4711,
        "start_time": "2026-07-21T06:15:28Z",
        "end_time": "2026-07-21T06:16:30Z",
    }


async def test_a_held_recording_is_not_deleted_and_a_released_one_is(api: Api) -> None:
    task_id = await make(api)
    with structlog.testing.capture_logs() as logs:
        assert (await api.call("PUT", f"{PATH}/{task_id}/hold")).status_code == 204
        assert (await shown(api, task_id))["held"] is True
        refused = await api.call("DELETE", f"{PATH}/{task_id}")
        assert (refused.status_code, refused.json()["error_code"]) == NOT_NOW
        assert "is held; release it" in refused.json()["error_detail"]
        assert (await api.call("DELETE", f"{PATH}/{task_id}/hold")).status_code == 204
        assert (await api.call("DELETE", f"{PATH}/{task_id}")).status_code == 204
    assert len(api.woken) == 1
    found = await shown(api, task_id)
    assert (found["state"], found["files"][0]["state"]) == ("deleting", "deleting")
    assert found["files"][0]["delete_reason"] == "api"
    audited = [entry for entry in logs if entry.get("audit")]
    assert [entry["event"] for entry in audited] == ["recording_held", "recording_released", "recording_deleted"]
    assert {(entry["by"], entry["project"], entry["task"]) for entry in audited} == {
        ("admin", api.key.project_id, task_id)
    }
    assert (await api.call("DELETE", f"{PATH}/{task_id}?again")).status_code == 204
    assert (await api.call("PUT", f"{PATH}/{task_id}/hold?again")).status_code == 404


@pytest.mark.parametrize("state", [TaskState.ARMED, TaskState.RECORDING, TaskState.FINISHING])
async def test_what_is_not_over_is_not_deleted(api: Api, state: TaskState) -> None:
    task_id = await make(api, state)
    refused = await api.call("DELETE", f"{PATH}/{task_id}")
    assert (refused.status_code, refused.json()["error_code"]) == NOT_NOW
    assert f"is {state}" in refused.json()["error_detail"]
    assert (await api.call("PUT", f"{PATH}/{task_id}/hold")).status_code == 204


async def test_what_is_not_there_or_not_ours(api: Api) -> None:
    for task_id in (await make(api, project_id="f" * 32), "unknown"):
        for method, target in (("GET", ""), ("DELETE", ""), ("PUT", "/hold"), ("DELETE", "/hold")):
            reply = await api.call(method, f"{PATH}/{task_id}{target}")
            assert (reply.status_code, reply.json()["error_code"]) == (404, "LIVE.103011019"), target
    assert (await api.call("GET", f"{PATH}/{'x' * 300}")).status_code == 400


async def test_each_has_an_action_of_its_own(api: Api) -> None:
    task_id = await make(api)
    for method, target, action, status in (
        ("GET", "", "getRecording", 200),
        ("PUT", "/hold", "holdRecording", 204),
        ("DELETE", "/hold", "releaseRecording", 204),
        ("DELETE", "", "deleteRecording", 204),
    ):
        user = await api.iam.create_user(f"may-{action}", api.key.project_id, actions=[f"live:livereel:{action}"])
        key = await api.iam.create_key(user.id)
        assert (await api.call(method, f"{PATH}/{task_id}{target}", key=key)).status_code == status
        other = ("PUT", "/hold") if action != "holdRecording" else ("DELETE", "")
        denied = await api.call(other[0], f"{PATH}/{task_id}{other[1]}", key=key)
        assert denied.status_code == 403


async def test_deleted_files_are_not_listed(api: Api) -> None:
    task_id = await make(api)
    query = "record/contents?start_time=2026-07-21T00:00:00Z"
    assert (await api.call("GET", query)).json()["total"] == 1
    assert (await api.call("DELETE", f"{PATH}/{task_id}")).status_code == 204
    assert (await api.call("GET", query + "&offset=0")).json() == {"total": 0, "record_contents": []}


@pytest.mark.parametrize(
    "retention",
    [{}, {"max_age": 60}, {"max_age": 2_592_000, "max_size": 1, "min_free": 2**40}, {"max_size": 5_000_000_000_000}],
)
async def test_a_template_shows_the_rule_it_was_given(api: Api, retention: dict[str, int]) -> None:
    await make_domain(api)
    body = rule(stream="kept") | {"livereel": {"retention": retention}, "record_type": "CONTINUOUS_RECORD"}
    made = (await api.call("POST", "record/rules", body)).json()
    assert made["livereel"] == {"armed": False, "pre_roll": 0, "retention": retention}
    assert (await api.call("PUT", f"record/rules/{made['id']}", body)).json()["livereel"] == made["livereel"]
    without = {name: value for name, value in body.items() if name != "livereel"}
    assert "livereel" not in (await api.call("PUT", f"record/rules/{made['id']}?without", without)).json()


@pytest.mark.parametrize(
    "retention",
    [[], 60, {"max_age": 59}, {"max_age": "60"}, {"max_age": 10**10}, {"max_size": 0}, {"min_free": -1}],
)
async def test_bad_rules_are_refused(api: Api, retention: Any) -> None:
    await make_domain(api)
    reply = await api.call("POST", "record/rules", rule() | {"livereel": {"retention": retention}})
    assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011001")
    assert "retention" in reply.json()["error_detail"]


async def test_a_recording_that_was_deleted_is_shown_as_history(api: Api) -> None:
    task_id = await make(api)
    async with api.catalogue.write() as uow:
        task = await uow.tasks.get(task_id)
        assert task is not None
        await uow.tasks.update(replace(task, state=TaskState.DELETED))
    assert (await shown(api, task_id))["state"] == "deleted"
