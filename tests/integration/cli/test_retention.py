"""`livereel retention` and `livereel recordings hold|release|delete`, as an operator types them."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from livereel.catalogue.port import Catalogue
from livereel.domain.states import FileState, TaskState
from tests.integration.catalogue.nouns import make_file, make_task
from tests.integration.cli.test_administration import data, in_catalogue, livereel, rows

__all__ = ["data"]


def recordings(directory: Path, *ages: float, state: TaskState = TaskState.COMPLETED) -> list[str]:
    """Recordings of one file each that ended so many seconds ago; their ids."""

    async def add(catalogue: Catalogue) -> list[str]:
        made = []
        for age in ages:
            ended_at = time.time() - age
            task = make_task(state=state, started_at=ended_at - 60, ended_at=ended_at)
            async with catalogue.write() as uow:
                await uow.tasks.add(task)
                await uow.files.add(make_file(task, state=FileState.STORED, size=1000, ended_at=ended_at))
            made.append(task.id)
        return made

    found: list[str] = in_catalogue(directory, add)
    return found


def state_of(task_id: str) -> tuple[str, str]:
    [shown] = [row for row in rows("recordings", "list") if row["task"] == task_id]
    return shown["state"], _files(task_id)[0]["state"]


def _files(task_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(livereel("recordings", "show", task_id, "--json"))["files"]
    return found


def test_nothing_goes_by_default(data: Path) -> None:
    [task_id] = recordings(data, 10 * 365 * 86_400)
    assert livereel("retention", "--dry-run") == "nothing has to go\n"
    assert livereel("retention").splitlines() == ["nothing has to go", "0 files are deleted"]
    assert state_of(task_id) == ("completed", "stored")


def test_a_dry_run_names_what_would_go_and_why(data: Path) -> None:
    Path("livereel.toml").write_text("[retention]\nmax_age = 86400\n")
    old, older, new = recordings(data, 100_000, 200_000, 1000)
    due = rows("retention", "--dry-run")
    assert [(row["task"], row["why"]) for row in due] == [
        (task_id, "the server's rule: ended more than 86400 s ago") for task_id in (older, old)
    ]
    assert {row["bytes"] for row in due} == {1000}
    assert state_of(old) == ("completed", "stored")
    livereel("recordings", "hold", older)
    assert "1 files are deleted" in livereel("retention")
    assert state_of(old) == ("completed", "deleting")
    assert state_of(older) == state_of(new) == ("completed", "stored")
    assert _files(old)[0]["delete_reason"] == "retention"
    assert livereel("retention", "--dry-run") == "nothing has to go\n"


def test_hold_release_and_delete(data: Path) -> None:
    [task_id] = recordings(data, 1000)
    assert livereel("recordings", "hold", task_id) == f"recording {task_id} is held\n"
    assert "held" in livereel("recordings", "show", task_id)
    assert "is held; release it" in livereel("recordings", "delete", task_id, code=1)
    assert livereel("recordings", "release", task_id) == f"recording {task_id} is not held\n"
    assert livereel("recordings", "delete", task_id) == f"recording {task_id} is deleted\n"
    assert state_of(task_id) == ("deleting", "deleting")
    assert "was deleted" in livereel("recordings", "hold", task_id, code=1)
    assert "there is no recording" in livereel("recordings", "delete", "f" * 32, code=1)


@pytest.mark.parametrize("state", [TaskState.RECORDING, TaskState.FINISHING])
def test_what_is_recorded_is_not_deleted(data: Path, state: TaskState) -> None:
    [task_id] = recordings(data, 1000, state=state)
    assert f"is {state}" in livereel("recordings", "delete", task_id, code=1)
