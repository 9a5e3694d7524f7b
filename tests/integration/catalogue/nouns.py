"""Domain nouns with every member set, to be varied with `replace` or keywords."""

import itertools
from dataclasses import replace
from typing import Any

from livereel.domain.keys import StreamKey
from livereel.domain.messages import CallbackConfig, CallbackEvent, MessageState, OutboxMessage, SignType
from livereel.domain.recordings import PlanTask, RecordFile, Slice, SpoolPosition, Task
from livereel.domain.states import FileState, TaskState
from livereel.domain.streams import (
    PullEvent,
    PullSource,
    PullTask,
    RefreshType,
    SnapshotConfig,
    SnapshotMode,
    WriteMode,
)
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, Template
from livereel.domain.tenancy import User

NOW = 1_784_614_528.25
PROJECT = "0123456789abcdef0123456789abcdef"
KEY = StreamKey("push.example.com", "live", "cam01")

_numbers = itertools.count(1)


def make_id() -> str:
    return f"{next(_numbers):032x}"


def make_user(**changes: Any) -> User:
    number = make_id()
    user = User(number, f"user-{number}", PROJECT, "scrypt$x", enabled=True, created_at=NOW)
    return replace(user, **changes)


def make_template(**changes: Any) -> Template:
    template = Template(
        id=make_id(),
        project_id=PROJECT,
        domain=KEY.domain,
        app=KEY.app,
        stream="*",
        record_type=RecordType.COMMAND,
        address=ObsAddress("rec-a", "cn-north-4", "archive/"),
        formats={
            RecordFormat.HLS: FormatConfig(3600, "{stream}/{file_start_time}", merge_window=-1, slice_duration=6),
            RecordFormat.MP4: FormatConfig(0, "{stream}_{file_start_time}", merge_window=30),
        },
        created_at=NOW,
        updated_at=NOW + 1,
    )
    return replace(template, **changes)


def make_task(**changes: Any) -> Task:
    task = Task(
        id=make_id(),
        project_id=PROJECT,
        key=KEY,
        record_type=RecordType.COMMAND,
        template=make_template(),
        state=TaskState.STARTING,
        node="node-1",
        started_at=NOW,
    )
    return replace(task, **changes)


def make_file(task: Task, **changes: Any) -> RecordFile:
    job_id = make_id()
    file = RecordFile(
        job_id=job_id,
        asset_id=make_id(),
        task_id=task.id,
        project_id=task.project_id,
        key=task.key,
        record_type=task.record_type,
        format=RecordFormat.MP4,
        sequence=0,
        state=FileState.WRITING,
        bucket="rec-a",
        location="cn-north-4",
        object_key=f"archive/{job_id}.mp4",
        start=SpoolPosition(1, 13),
        started_at=NOW,
        checkpoint={"last": [1, 2, 3], "offset": None},
    )
    return replace(file, **changes)


def make_message(**changes: Any) -> OutboxMessage:
    message = OutboxMessage(
        id=0,
        channel="push.example.com",
        kind="notification",
        event="PUBLISH",
        project_id=PROJECT,
        domain=KEY.domain,
        url="https://example.org/hook",
        body={"z": 1, "a": {"nested": ["ü", None, 1.5]}},
        state=MessageState.PENDING,
        attempts=0,
        created_at=NOW,
        due_at=NOW,
    )
    return replace(message, **changes)


def make_callback(**changes: Any) -> CallbackConfig:
    config = CallbackConfig(
        id=make_id(),
        project_id=PROJECT,
        domain=KEY.domain,
        app="*",
        url="https://example.org/recorded",
        created_at=NOW,
        updated_at=NOW + 1,
        events=(CallbackEvent.RECORD_START, CallbackEvent.RECORD_FAILED),
        sign_type=SignType.MD5,
        key="k" * 32,
        on_demand_url="https://example.org/record_auth",
    )
    return replace(config, **changes)


def make_plan(**changes: Any) -> PlanTask:
    plan = PlanTask(
        id=make_id(),
        project_id=PROJECT,
        key=KEY,
        start_at=NOW,
        end_at=NOW + 3600,
        template_id=make_id(),
        created_at=NOW - 60,
    )
    return replace(plan, **changes)


def make_slice(file: RecordFile, sequence: int, **changes: Any) -> Slice:
    started_at = file.started_at + sequence * 6
    piece = Slice(
        file.job_id, sequence, f"{file.object_key}/{sequence}.ts", started_at, started_at + 6, 5.967, 2**40 + sequence
    )
    return replace(piece, **changes)


def make_snapshot(**changes: Any) -> SnapshotConfig:
    config = SnapshotConfig(
        domain=KEY.domain,
        app=KEY.app,
        project_id=PROJECT,
        interval=30,
        write_mode=WriteMode.OVERWRITE,
        address=ObsAddress("shots", "cn-north-4", "pictures/"),
        auth_key="k" * 32,
        callback_on=True,
        callback_url="https://example.org/shot",
        mode=SnapshotMode.RANDOM,
        object_format="{obs_object}/{stream}.jpg",
        access_protocol="https",
        access_domain="shots.example.com",
    )
    return replace(config, **changes)


def make_pull(**changes: Any) -> PullTask:
    task = PullTask(
        id=make_id(),
        project_id=PROJECT,
        source_type=PullSource.VOD,
        source_urls=("https://example.org/a.mp4", "https://example.org/b.mp4"),
        region="cn-north-4",
        domain=KEY.domain,
        app=KEY.app,
        stream=KEY.stream,
        start_at=NOW,
        end_at=NOW + 3600,
        created_at=NOW,
        push_args="a=1",
        callback_url="https://example.org/pulled",
        callback_events=(PullEvent.TASK_START, PullEvent.TASK_EXIT),
        loop_time=3,
        refresh_type=RefreshType.FROM_BREAK_POINT,
        start_index=1,
        start_time=12.5,
        backup_source_type=PullSource.LIVE,
        backup_source_urls=("rtsp://example.org/cam",),
    )
    return replace(task, **changes)
