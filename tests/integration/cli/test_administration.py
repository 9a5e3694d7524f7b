"""Administrative commands on a real catalogue, as an operator types them."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from livereel.callbacks import schedule
from livereel.callbacks.payloads import publish_notification
from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue
from livereel.cli.main import app
from livereel.control.domains import DomainService, NewDomain
from livereel.domain.keys import StreamKey
from livereel.domain.messages import Delivery, NotificationConfig, Publish, PublishEvent
from livereel.domain.recordings import EndReason, RecordFile, SpoolPosition, Task
from livereel.domain.states import FileState, TaskState
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, Template, default_prefix
from livereel.domain.tenancy import DomainType
from livereel.iam.secrets import open_key_file
from livereel.iam.service import Iam
from livereel.observe.clock import SystemClock

KEY = StreamKey("push.example.com", "live", "cam01")
NOW = 1784614528.0
Run = Callable[..., str]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory as the first start of a server leaves it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")  # of a terminal; what goes elsewhere is not folded
    directory = tmp_path / "livereel-data"

    async def first_start(catalogue: Catalogue) -> None:
        first = await Iam(catalogue, SystemClock(), open_key_file(directory / "livereel.key")).bootstrap("livereel-1")
        assert first is not None
        new = NewDomain(KEY.domain, DomainType.PUSH, "livereel-1")
        await DomainService(catalogue, SystemClock()).create(first.project_id, new)

    in_catalogue(directory, first_start)
    return directory


def in_catalogue(directory: Path, work: Callable[[Catalogue], Any]) -> Any:
    async def opened() -> Any:
        catalogue = await open_catalogue(f"sqlite:///{directory / 'catalogue.db'}")
        try:
            return await work(catalogue)
        finally:
            await catalogue.close()

    return asyncio.run(opened())


def livereel(*arguments: str, code: int = 0, stdin: str | None = None) -> str:
    result = CliRunner().invoke(app, arguments, input=stdin)
    assert result.exit_code == code, result.output
    return result.stderr if code else result.stdout


def rows(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(livereel(*arguments, "--json"))
    return found


def test_without_a_catalogue_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "holds no catalogue yet: start `livereel serve` once" in livereel("keys", "list", code=1)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_setting_is_told_in_one_line(data: Path) -> None:
    Path("livereel.toml").write_text("[rtmp]\nport = 70000\n")
    told = livereel("projects", "list", code=2)
    assert told == "livereel: livereel.toml: rtmp.port: Input should be less than or equal to 65535 (not 70000)\n"


@pytest.mark.usefixtures("data")
def test_projects() -> None:
    livereel("projects", "create", "second")
    assert [project["name"] for project in rows("projects", "list")] == ["livereel-1", "second"]
    assert "second" in livereel("projects", "list")


@pytest.mark.usefixtures("data")
def test_a_user_with_a_key_and_policies() -> None:
    livereel("users", "create", "ann", "--allow", "live:record:*", "--password-stdin", stdin="a-long-passw0rd\n")
    [ann] = [user for user in rows("users", "list") if user["name"] == "ann"]
    assert ann["password"] is True
    assert "hash" not in json.dumps(ann)
    assert [policy["actions"] for policy in rows("policies", "list", "--user", "ann")] == [["live:record:*"]]
    livereel("policies", "create", "--user", "ann", "--effect", "Deny", "live:record:createCommand")
    policies = rows("policies", "list", "--user", "ann")
    assert sorted(policy["effect"] for policy in policies) == ["Allow", "Deny"]
    livereel("policies", "delete", policies[0]["id"])
    assert len(rows("policies", "list", "--user", "ann")) == 1
    livereel("users", "disable", "ann")
    assert not next(user for user in rows("users", "list") if user["name"] == "ann")["enabled"]
    livereel("users", "enable", ann["id"])
    livereel("users", "set-password", "ann", "--password-stdin", stdin="another-passw0rd\n")
    assert "there is no user bob" in livereel("users", "disable", "bob", code=1)


@pytest.mark.usefixtures("data")
def test_keys() -> None:
    made = json.loads(livereel("keys", "create", "--json"))
    assert set(made) == {"access", "secret", "user_id", "project_id"}
    shown = livereel("keys", "create", "--user", "admin")
    assert "shown only now" in shown
    listed = rows("keys", "list", "--user", "admin")
    assert len(listed) == 3
    assert made["secret"] not in json.dumps(listed) + livereel("keys", "list")
    livereel("keys", "disable", made["access"])
    livereel("keys", "enable", made["access"])
    livereel("keys", "delete", made["access"])
    assert "there is no access key" in livereel("keys", "delete", made["access"], code=1)
    assert len(rows("keys", "list")) == 2


@pytest.mark.usefixtures("data")
def test_templates() -> None:
    common = ("templates", "create", "--domain", KEY.domain, "--bucket", "recordings")
    livereel(*common, "--app", "live", "--format", "FLV", "--format", "MP4", "--cycle", "3600", "--merge", "30")
    [template] = rows("templates", "list")
    assert (template["formats"], template["stream"], template["type"]) == (["FLV", "MP4"], "*", "COMMAND_RECORD")
    assert KEY.domain in livereel("templates", "list")
    assert "record_cycle" in livereel(*common, "--cycle", "5", code=1)
    assert "no domain" in livereel("templates", "create", "--domain", "x.y", "--bucket", "recordings", code=1)
    livereel("templates", "delete", template["id"])
    assert livereel("templates", "list") == "none\n"


def test_recordings(data: Path) -> None:
    async def record(catalogue: Catalogue) -> str:
        async with catalogue.write() as work:
            [project] = await work.projects.find()
            formats = {RecordFormat.MP4: FormatConfig(3600, default_prefix(RecordFormat.MP4))}
            address = ObsAddress("recordings", "livereel-1")
            template = Template(
                "t1", project.id, KEY.domain, "live", "*", RecordType.COMMAND, address, formats, NOW, NOW
            )
            task = Task(
                id="7a6b5c4d3e2f10987a6b5c4d3e2f1098",
                project_id=project.id,
                key=KEY,
                record_type=RecordType.COMMAND,
                template=template,
                state=TaskState.COMPLETED,
                node="here",
                started_at=NOW,
                ended_at=NOW + 60,
                end_reason=EndReason.STOP,
            )
            await work.tasks.add(task)
            await work.files.add(
                RecordFile(
                    job_id="9f1c2d3e-4a5b-4c6d-8e7f-001122334455",
                    asset_id="a" * 32,
                    task_id=task.id,
                    project_id=project.id,
                    key=KEY,
                    record_type=RecordType.COMMAND,
                    format=RecordFormat.MP4,
                    sequence=1,
                    state=FileState.STORED,
                    bucket="recordings",
                    location="livereel-1",
                    object_key="Record/[bold]x.mp4",
                    start=SpoolPosition(1, 13),
                    started_at=NOW,
                    ended_at=NOW + 60,
                    size=4_404_019,
                    duration=60.0,
                    width=1280,
                    height=720,
                    video_codec="H264",
                    audio_codec="AAC",
                    report={"gaps": [{"media_at": 1.0, "duration": 2.0, "reason": "reconnect"}]},
                )
            )
            return task.id

    task_id = in_catalogue(data, record)
    [listed] = rows("recordings", "list")
    assert (listed["task"], listed["state"], listed["reason"]) == (task_id, "completed", "stop")
    shown = json.loads(livereel("recordings", "show", task_id[:6], "--json"))
    assert shown["files"][0]["path"] == str(data / "store/recordings/Record/[bold]x.mp4")
    assert shown["files"][0]["gaps"] == 1
    table = livereel("recordings", "show", task_id)
    assert "H264 + AAC 1280x720" in table
    assert "4.2 MiB" in table
    assert "Record/[bold]x.mp4" in table
    assert "there is no recording 0000" in livereel("recordings", "show", "0000", code=1)


def test_a_dead_message_gets_another_try(data: Path) -> None:
    async def give_up(catalogue: Catalogue) -> int:
        config = NotificationConfig(KEY.domain, "https://app.example.com/hook")
        publish = Publish("p", "198.51.100.7", "203.0.113.9", "", NOW)
        message = publish_notification(config, KEY, publish, PublishEvent.PUBLISH, "p" * 32, NOW)
        async with catalogue.write() as work:
            await work.notifications.put(config)
            message_id = await work.outbox.add(message)
            await work.outbox.update(schedule.dead(replace(message, id=message_id, attempts=3), "answered 500"))
            await work.outbox.log(Delivery(message_id, NOW, 0.25, 500, "answered 500"))
        return message_id

    message_id = str(in_catalogue(data, give_up))
    [dead] = rows("messages", "list", "--state", "dead")
    assert (dead["attempts"], dead["last_error"]) == (3, "answered 500")
    shown = json.loads(livereel("messages", "show", message_id, "--json"))
    assert shown["deliveries"][0]["status"] == 500
    text = livereel("messages", "show", message_id)
    assert "answered 500" in text
    assert f"body       {json.dumps(shown['body'])}\n" in text
    livereel("messages", "replay", message_id)
    assert rows("messages", "list", "--state", "dead") == []
    assert "tried again by itself" in livereel("messages", "replay", message_id, code=1)
    assert [row["id"] for row in rows("messages", "list", "--event", "PUBLISH", "--domain", KEY.domain)]
    assert rows("messages", "list", "--event", "PUBLISH_DONE") == []
    assert rows("messages", "list", "--domain", "other.example.com") == []
    assert "there is no message 99" in livereel("messages", "show", "99", code=1)
