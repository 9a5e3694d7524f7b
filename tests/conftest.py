"""What holds for all tests."""

import os

from hypothesis import HealthCheck, settings

# How long an example takes says something of the machine only. Where CI is set, examples are the same each time.
settings.register_profile(
    "any machine",
    settings.get_profile("ci" if os.environ.get("CI") else "default"),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")
