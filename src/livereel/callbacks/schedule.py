"""When a message is tried again, and when it is given up. Pure: `now` and chance are arguments."""

from dataclasses import replace

from livereel.domain.messages import LONGEST_PAUSE, MessageState, OutboxMessage

FIRST_RETRY = 1.0  # seconds: a receiver that is being restarted is back soon
JITTER = 0.5  # up to this part of a pause is left out, so that messages that failed together do not return together
ERROR_MAX_LENGTH = 500  # characters kept of what went wrong


def pause(attempts: int, chance: float) -> float:
    """Seconds after the failed attempt number `attempts` (from 1). `chance` is a random number in [0, 1)."""
    # 2**20 s is far above the longest pause; the exponent is bounded so that no attempt count overflows a float.
    return float(min(FIRST_RETRY * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)) * (1 - JITTER * chance)


def delivered(message: OutboxMessage) -> OutboxMessage:
    """After an attempt that was answered with success."""
    return replace(message, state=MessageState.DELIVERED, attempts=message.attempts + 1, last_error=None)


def failed(
    message: OutboxMessage,
    error: str,
    *,
    now: float,
    horizon: float,
    chance: float,
    retry_after: float = 0.0,
) -> OutboxMessage:
    """After a failed attempt: due again later, or dead once it is older than `horizon` seconds.

    The last attempt is made at the horizon itself. `retry_after` (seconds, what the receiver asked for) only lengthens
    a pause, up to the longest one.
    """
    attempts = message.attempts + 1
    last_chance = message.created_at + horizon
    if now >= last_chance:
        return dead(replace(message, attempts=attempts), error)
    wait = max(pause(attempts, chance), min(retry_after, LONGEST_PAUSE))
    due_at = min(now + wait, last_chance)
    return replace(message, attempts=attempts, due_at=due_at, last_error=error[:ERROR_MAX_LENGTH])


def dead(message: OutboxMessage, error: str) -> OutboxMessage:
    """Given up; the next message of its channel takes over."""
    return replace(message, state=MessageState.DEAD, last_error=error[:ERROR_MAX_LENGTH])
