from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from livereel.domain.media import Tag
from livereel.testing.source import generate_tags

Source = Callable[..., list[Tag]]


@pytest.fixture(scope="session")
def source() -> Source:
    """Generated media, made once per kind."""

    @cache
    def generate(seconds: float, options: tuple[tuple[str, Any], ...]) -> list[Tag]:
        return generate_tags(seconds, **dict(options))

    return lambda seconds, **options: generate(seconds, tuple(sorted(options.items())))
