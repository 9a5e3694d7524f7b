"""Asking a tenant's own service whether a push is to be recorded (ON_DEMAND_RECORD).

The cloud's contract for this was never published, so this one is ours; docs/api/on-demand.md is its reference. One
attempt, a few seconds, no retries: the push is already running.
"""

import json
from dataclasses import dataclass
from typing import Any

from livereel import __version__
from livereel.callbacks.sender import Sender
from livereel.callbacks.signing import body_sign
from livereel.domain.errors import LivereelError
from livereel.domain.templates import RecordFormat


class NoUsableAnswer(LivereelError):
    """The tenant's service did not say whether to record."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the service says: record or not, and in which of the template's formats (None: in all)."""

    record: bool
    formats: frozenset[RecordFormat] | None = None


async def ask(sender: Sender, *, url: str, key: str, question: dict[str, Any], question_id: str, now: float) -> Verdict:
    """POST `question` and read the verdict; raises NoUsableAnswer."""
    body = json.dumps(question, separators=(",", ":")).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"livereel/{__version__}",
        "Livereel-Message-Id": question_id,
        "Livereel-Timestamp": str(int(now)),
    }
    if key:
        headers["Livereel-Signature"] = body_sign(key, timestamp=int(now), message_id=question_id, body=body)
    answer = await sender.post(url, headers, body)
    if answer.error is not None:
        raise NoUsableAnswer(answer.error)
    return parse(answer.content)


def parse(content: bytes) -> Verdict:
    """The verdict in a body such as `{"record": true, "record_format": ["HLS"]}`; raises NoUsableAnswer."""
    try:
        said = json.loads(content)
    except ValueError:
        raise NoUsableAnswer("the answer is not JSON") from None
    if not isinstance(said, dict) or not isinstance(said.get("record"), bool):
        raise NoUsableAnswer('the answer has no boolean member "record"')
    named = said.get("record_format")
    if named is None:
        return Verdict(said["record"])
    known = {record_format.value for record_format in RecordFormat}
    if not isinstance(named, list) or not named or not all(isinstance(name, str) and name in known for name in named):
        raise NoUsableAnswer('"record_format" must be a list of HLS, FLV and MP4')
    return Verdict(said["record"], frozenset(RecordFormat(name) for name in named))
