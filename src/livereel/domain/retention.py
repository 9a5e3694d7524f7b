"""How long recordings are kept: rules and their limits. Ours: the cloud leaves that to the bucket's life cycle."""

from dataclasses import dataclass

from livereel.domain.errors import InvalidParameter

#: Seconds; below it a recording could be gone before its callback has arrived.
MAX_AGE_MIN = 60.0
#: Seconds: 100 years, so that sums with it stay times.
MAX_AGE_MAX = 36_525 * 86_400.0
BYTES_MAX = 1 << 60


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """What may go, oldest first. None: this does not matter; a rule of nothing but None keeps everything.

    `max_age`: seconds since a file ended. `max_size`: bytes of all files that the rule is about. `min_free`: bytes that
    stay free on the file system of a bucket that is a directory; object stores do not tell. Raises InvalidParameter.
    """

    max_age: float | None = None
    max_size: int | None = None
    min_free: int | None = None

    def __post_init__(self) -> None:
        if self.max_age is not None and not MAX_AGE_MIN <= self.max_age <= MAX_AGE_MAX:
            raise InvalidParameter(f"max_age must be {MAX_AGE_MIN:.0f} to {MAX_AGE_MAX:.0f} seconds")
        for name, value in (("max_size", self.max_size), ("min_free", self.min_free)):
            if value is not None and not 0 < value <= BYTES_MAX:
                raise InvalidParameter(f"{name} must be 1 to {BYTES_MAX} bytes")

    @property
    def keeps_all(self) -> bool:
        """True if nothing ever goes by this rule."""
        return self == RetentionRule()
