"""What is said of a record file after it was read again: the words, and what they mean for it.

The words are part of callbacks, recording.json and the catalogue; docs/topics/verification.md explains them to users.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple


class VerifyLevel(StrEnum):
    """How thoroughly a file is read again."""

    OFF = "off"  #: only the SHA-256 of its objects is computed
    PACKETS = "packets"  #: every packet is compared with the spool's account
    KEYFRAMES = "keyframes"  #: and every key frame is decoded
    FULL = "full"  #: and every frame is decoded


class Verification(StrEnum):
    """What is known of a file."""

    PENDING = "pending"  #: being read, or waiting for it
    VERIFIED = "verified"  #: holds what the spool held, and decodes
    DAMAGED = "damaged"  #: does not; the reasons say why
    OFF = "off"  #: nobody looked


class DamageReason(StrEnum):
    """Why a file is damaged."""

    MISSING = "missing"  #: an object is not there
    SIZE = "size"  #: an object has another size than was written
    CHECKSUM = "checksum"  #: an object has another SHA-256 than was written
    UNREADABLE = "unreadable"  #: the container cannot be read, or not to its end
    PLAYLIST = "playlist"  #: the playlist does not name exactly the slices of the file, in their order
    TRACKS = "tracks"  #: a track is missing, too many, or of another codec
    PACKETS = "packets"  #: a track has more or fewer packets than the spool held
    KEY_FRAMES = "key_frames"  #: another number of key frames
    KEY_FRAME_FIRST = "key_frame_first"  #: the file, or a slice, does not begin with a key frame
    TIMES = "times"  #: the first or last packet of a track is at another time
    ORDER = "order"  #: times of a track do not go forward
    DURATION = "duration"  #: the file says another duration
    CONTENT = "content"  #: packets hold other bytes than were received
    UNDECODABLE = "undecodable"  #: frames cannot be decoded
    VERIFIER_DIED = "verifier_died"  #: the verifier died on it, each time


class Damage(NamedTuple):
    """One thing that is wrong. `object` is the file name of the object concerned, empty for the file as a whole."""

    reason: DamageReason
    detail: str
    object: str = ""

    def to_json(self) -> dict[str, str]:
        """Plain JSON values."""
        return {"reason": self.reason.value, "detail": self.detail} | ({"object": self.object} if self.object else {})

    @classmethod
    def from_json(cls, value: dict[str, str]) -> "Damage":
        """The inverse of `to_json`."""
        return cls(DamageReason(value["reason"]), value["detail"], value.get("object", ""))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What reading a file again gave. `sha256` is that of the file or playlist, None if it could not be read."""

    verification: Verification
    damages: tuple[Damage, ...] = ()
    sha256: str | None = None

    @property
    def as_received(self) -> bool:
        """True if nothing is wrong but that frames do not decode: then the encoder sent them so.

        Everything that was received is in the file; making it again would give the same.
        """
        return all(damage.reason is DamageReason.UNDECODABLE for damage in self.damages)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "verification": self.verification.value,
            "damages": [damage.to_json() for damage in self.damages],
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Verdict":
        """The inverse of `to_json`; raises ValueError, KeyError or TypeError for anything else."""
        damages = tuple(Damage.from_json(damage) for damage in value["damages"])
        return cls(Verification(value["verification"]), damages, value["sha256"])


def reasons(damages: tuple[Damage, ...]) -> list[str]:
    """The words of what is wrong, each once, in the order of DamageReason."""
    found = {damage.reason for damage in damages}
    return [reason.value for reason in DamageReason if reason in found]
