"""Recordings of a real server that are deleted: by API, and by a template's rule through the command line."""

import json
from pathlib import Path
from typing import Any

from tests.acceptance.api import ALL_FORMATS, BUCKET, DOMAIN
from tests.acceptance.conftest import Push
from tests.acceptance.server import LiveServer, manifest_beside, wait_until

PATIENCE = 60.0  # seconds; the server looks every 5 for what the command line deletes


def record(server: LiveServer, ffmpeg_push: Push, stream: str) -> tuple[str, list[Path]]:
    """A finished recording in all formats: its id, and everything of it in the bucket."""
    sdk = server.sdk()
    encoder = ffmpeg_push(server.push_url(stream))
    sdk.start_when_live(stream)
    wait_until(lambda: len(list(server.bucket.rglob(f"*{stream}*/**/*.ts"))) > 1, PATIENCE, "slices")
    sdk.stop(stream)
    encoder.stop()
    files = [server.bucket / item.obs_addr.object for item in sdk.wait_contents(stream)]
    manifests = [manifest_beside(file) for file in files]
    task_id = str(manifests[0]["task_id"])
    wait_until(lambda: shown(server, task_id)["state"] == "completed", PATIENCE, "the end of the task")
    return task_id, sorted({path for file in files for path in file.parent.iterdir()})


def shown(server: LiveServer, task_id: str) -> dict[str, Any]:
    return dict(server.bare().call("GET", f"/v1/{{project}}/livereel/recordings/{task_id}").json)


def test_a_recording_is_deleted_with_all_its_objects(server: LiveServer, ffmpeg_push: Push, stream: str) -> None:
    server.sdk().create_template(stream)
    task_id, objects = record(server, ffmpeg_push, stream)
    assert {path.suffix for path in objects} == {".ts", ".m3u8", ".flv", ".mp4", ".json"}
    path = f"/v1/{{project}}/livereel/recordings/{task_id}"
    server.cli("recordings", "hold", task_id)
    assert server.bare().call("DELETE", path).status == 409
    assert shown(server, task_id)["held"] is True
    server.cli("recordings", "release", task_id)
    assert server.bare().call("DELETE", path).status == 204
    assert server.sdk().contents(stream) == []
    wait_until(lambda: shown(server, task_id)["state"] == "deleted", PATIENCE, "the deletion")
    assert not any(path.exists() for path in objects)
    assert not list(server.bucket.rglob(f"*{stream}*"))  # nor an empty directory
    assert server.bare().call("DELETE", path).status == 204


def test_a_template_gives_its_recordings_up(server: LiveServer, ffmpeg_push: Push, stream: str) -> None:
    config = {
        "record_format": list(ALL_FORMATS),
        "hls_config": {"record_cycle": 3600, "record_slice_duration": 2},
        "obs_addr": {"bucket": BUCKET, "location": "here", "object": ""},
    }
    body = {
        "publish_domain": DOMAIN,
        "app": "live",
        "stream": stream,
        "record_type": "COMMAND_RECORD",
        "default_record_config": config,
    }
    made = server.bare().call("POST", "/v1/{project}/record/rules", body=body)
    assert made.status == 201
    task_id, objects = record(server, ffmpeg_push, stream)
    assert task_id not in server.cli("retention", "--dry-run", "--json")
    rule = body | {"livereel": {"retention": {"max_size": 1}}}
    changed = server.bare().call("PUT", f"/v1/{{project}}/record/rules/{made.json['id']}", body=rule)
    assert changed.json["livereel"]["retention"] == {"max_size": 1}
    due = [row for row in json.loads(server.cli("retention", "--dry-run", "--json")) if row["task"] == task_id]
    assert {row["format"] for row in due} == set(ALL_FORMATS)
    assert all(path.exists() for path in objects)
    server.cli("retention")
    wait_until(lambda: shown(server, task_id)["state"] == "deleted", PATIENCE, "the deletion")
    assert {file["delete_reason"] for file in shown(server, task_id)["files"]} == {"retention"}
    assert not list(server.bucket.rglob(f"*{stream}*"))
