"""livereel/uploads: what waits for its store, an extension of ours."""

from dataclasses import replace

from livereel.domain.uploads import Upload, UploadState

from .conftest import Api

PATH = "livereel/uploads"
NOW = 1784614528.0


async def test_what_waits_is_listed_by_project(api: Api) -> None:
    waiting = Upload(
        id="1",
        job_id="j1",
        task_id="t1",
        project_id=api.key.project_id,
        node="n",
        bucket="rec-a",
        object_key="Record/a.flv",
        state=UploadState.SENDING,
        created_at=NOW,
        updated_at=NOW + 1,
        upload_id="secret of the store",
        size=100,
        sent=40,
        waiting_since=NOW,
        attempts=3,
        last_error="no connection",
        next_retry_at=NOW + 30,
    )
    left = replace(waiting, id="2", job_id="j2", state=UploadState.DISCARDING, created_at=NOW + 5, waiting_since=None)
    other = replace(waiting, id="3", project_id="somebody else")
    sent = replace(waiting, id="4", bucket="rec-b", created_at=NOW + 9, sent=100, waiting_since=None, last_error=None)
    async with api.catalogue.write() as work:
        for upload in (waiting, left, other, sent):
            await work.uploads.put(upload)
    reply = await api.call("GET", PATH)
    assert reply.status_code == 200, reply.text
    shown = reply.json()
    assert shown["total"] == 3
    assert shown["backlog"] == [
        {
            "bucket": "rec-a",
            "files": 1,
            "bytes": 60,
            "waiting_since": "2026-07-21T06:15:28Z",
            "last_error": "no connection",
        }
    ]
    assert [(upload["job_id"], upload["state"]) for upload in shown["uploads"]] == [
        ("j1", "sending"),
        ("j2", "discarding"),
        ("j1", "sending"),
    ]
    assert shown["uploads"][0]["next_attempt_time"] == "2026-07-21T06:15:58Z"
    assert "secret of the store" not in reply.text
    assert (await api.call("GET", f"{PATH}?bucket=rec-b")).json()["total"] == 1
    assert (await api.call("GET", f"{PATH}?bucket=rec-c")).json() == {"total": 0, "backlog": [], "uploads": []}
