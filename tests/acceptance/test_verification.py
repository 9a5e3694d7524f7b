"""Recordings that prove themselves: verdicts of a real server, over kills of the verifier and of the server."""

import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import av
from huaweicloudsdklive.v1 import CreateRecordCallbackConfigRequest, RecordCallbackConfigRequest

from livereel.recorder.reader import MAX_WALL_DRIFT
from tests.acceptance.api import BUCKET, DOMAIN, Sdk
from tests.acceptance.conftest import Push
from tests.acceptance.receiver import Message, Receiver, event_of
from tests.acceptance.server import LiveServer, manifest_beside, wait_until

EVENTS = ["RECORD_START", "RECORD_FILE_COMPLETE", "RECORD_FILE_VERIFIED", "RECORD_OVER", "RECORD_FAILED"]
VERIFIER = "livereel.verify.worker"
PATIENCE = 60.0  # seconds


def subscribe(sdk: Sdk, url: str) -> None:
    body = RecordCallbackConfigRequest(
        publish_domain=DOMAIN, app="*", notify_callback_url=url, notify_event_subscription=EVENTS
    )
    assert sdk.client.create_record_callback_config(CreateRecordCallbackConfigRequest(body=body)).status_code == 201


def once(messages: list[Message]) -> list[Message]:
    """Messages are delivered at least once: a server that is killed does not know that one arrived."""
    return list({message["_headers"]["Livereel-Message-Id"]: message for message in messages}.values())


def verdicts(messages: list[Message]) -> dict[str, list[str]]:
    """By job: what was said of its file, in order."""
    said: dict[str, list[str]] = {}
    for message in messages:
        if event_of(message) in ("RECORD_FILE_COMPLETE", "RECORD_FILE_VERIFIED"):
            said.setdefault(message["job_id"], []).append(message["verification"])
    return said


def count(server: LiveServer, what: str) -> int:
    return sum(event.get("event") == what for event in server.events())


def wait_for_more(server: LiveServer) -> float:
    """Return when something was received after a moment; that moment (Unix time)."""
    moment, before = time.time(), received(server)
    wait_until(lambda: received(server) > before, PATIENCE, "more in the spool")
    return moment


def received(server: LiveServer) -> int:
    """Bytes in the spools."""
    return sum(path.stat().st_size for path in (server.data_dir / "spool").glob("*/*.flv"))


def amid_a_frame(path: Path) -> int:
    """Where an MP4 holds coded data of a picture; between frames lie boxes that no reader looks at any more."""
    with av.open(str(path)) as media:
        frame = max(media.demux(video=0), key=lambda packet: packet.size)
        assert frame.pos is not None
        return frame.pos + frame.size // 2


def iso(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()


def test_a_recording_with_a_break_proves_itself(
    own_server: LiveServer, ffmpeg_push: Push, receiver: Receiver, stream: str
) -> None:
    sdk = own_server.sdk()
    subscribe(sdk, receiver.url)
    sdk.create_template(stream, merge=60)
    encoder = ffmpeg_push(own_server.push_url(stream))
    sdk.start_when_live(stream)
    time.sleep(2)
    there = wait_for_more(own_server)
    encoder.kill()
    wait_until(lambda: count(own_server, "task_interrupted"), PATIENCE, "the break to be seen")
    seen = time.time()
    time.sleep(MAX_WALL_DRIFT + 1)
    ffmpeg_push(own_server.push_url(stream))
    wait_until(lambda: count(own_server, "task_recording") == 2, PATIENCE, "the push to be back")
    back = time.time()
    time.sleep(2)
    wait_for_more(own_server)
    sdk.stop(stream)

    receiver.wait("RECORD_OVER", stream, 60)
    said = verdicts(receiver.of(stream))
    assert len(said) == 3 and all(words in (["verified"], ["pending", "verified"]) for words in said.values()), said
    [first, *_] = sdk.wait_contents(stream)
    manifest = manifest_beside(own_server.bucket / first.obs_addr.object)
    for file in manifest["files"]:
        assert (file["verification"], file["verification_reasons"]) == ("verified", [])
        [gap] = file["gaps"]
        assert gap["reason"] == "reconnect"
        # The end of the first push is known by its media time, and by the wall clock as exactly as the two agree.
        assert there - MAX_WALL_DRIFT < iso(gap["wall_start"]) < seen + MAX_WALL_DRIFT
        assert seen < iso(gap["wall_end"]) < back
        assert abs(iso(gap["wall_end"]) - iso(gap["wall_start"]) - gap["duration"]) < 0.01
        assert gap["duration"] > 1
        assert 0 < gap["media_at"] < file["duration"]

    found = json.loads(own_server.cli("verify", "--json"))
    assert (found["verified"], found["damaged"], found["unchecked"], found["extra"]) == (3, [], [], [])
    victim = next((own_server.bucket / "archive").rglob("*.mp4"))
    data = bytearray(victim.read_bytes())
    data[amid_a_frame(victim)] ^= 0x10
    victim.write_bytes(data)
    told = own_server.cli("verify", "--bucket", BUCKET, code=1)
    assert f"{victim.name}: checksum: " in told and "2 of 3 files verified, 1 damaged" in told
    shown = json.loads(own_server.cli("recordings", "show", manifest["task_id"], "--json"))
    checks = {file["format"]: file["check"] for file in shown["files"]}
    # Whether the frame still decodes is a matter of luck.
    assert checks.pop("MP4") in ("damaged (checksum, content)", "damaged (checksum, content, undecodable)")
    assert checks == {"FLV": "verified", "HLS": "verified"}


def test_kills_of_the_verifier_and_of_the_server(
    own_server: LiveServer, ffmpeg_push: Push, receiver: Receiver, stream: str
) -> None:
    """A verifier that is stopped makes the verdict late; then it is killed, and the next time the server."""
    sdk = own_server.sdk()
    subscribe(sdk, receiver.url)
    for victim in ("verifier", "server"):
        name = f"{stream}-{victim}"
        sdk.create_template(name, formats=("MP4",))
        ffmpeg_push(own_server.push_url(name))
        sdk.start_when_live(name)
        for pid in wait_until(lambda: own_server.workers(VERIFIER), 60, "a verifier"):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2)
        sdk.stop(name)
        assert receiver.wait("RECORD_FILE_COMPLETE", name, 60)["verification"] == "pending"
        if victim == "verifier":
            for pid in own_server.workers(VERIFIER):
                os.kill(pid, signal.SIGKILL)
        else:
            own_server.kill()
            own_server.start()
        receiver.wait("RECORD_OVER", name, 60)
        [words] = verdicts(once(receiver.of(name))).values()
        assert words == ["pending", "verified"]
        assert [event_of(message) for message in once(receiver.of(name))] == [
            "RECORD_START",
            "RECORD_FILE_COMPLETE",
            "RECORD_FILE_VERIFIED",
            "RECORD_OVER",
        ]
