"""The member `livereel` of START and of templates; without it nothing changes."""

import json
from typing import Any

import pytest

from livereel.cluster.port import StartOptions

from .conftest import Api
from .test_wire import make_domain, rule

START = "record/control?action=START"
STREAM = {"publish_domain": "push.example.com", "app": "live", "stream": "cam01"}


async def start(api: Api, **members: Any) -> int:
    return (await api.call("POST", START, STREAM | members)).status_code


@pytest.mark.parametrize(
    ("extension", "options"),
    [
        (None, StartOptions()),
        ({}, StartOptions()),
        ({"armed": True}, StartOptions(armed=True)),
        ({"armed": False, "pre_roll": 0}, StartOptions(armed=False, pre_roll=0.0)),
        ({"armed": None, "pre_roll": None}, StartOptions()),
        ({"armed": True, "armed_limit": 60, "pre_roll": 60}, StartOptions(armed=True, limit=60.0, pre_roll=60.0)),
    ],
)
async def test_start_takes_it(api: Api, extension: dict[str, Any] | None, options: StartOptions) -> None:
    await make_domain(api)
    assert (await api.call("POST", "record/rules", rule())).status_code == 201
    assert await start(api, livereel=extension) == 200
    assert api.owner.commands[-1].options == options


@pytest.mark.parametrize(
    "extension",
    [[], "armed", {"armed": 1}, {"armed_limit": 59}, {"armed_limit": 2_592_001}, {"pre_roll": 61}, {"pre_roll": -1}],
)
async def test_bad_ones_are_refused(api: Api, extension: Any) -> None:
    reply = await api.call("POST", START, STREAM | {"livereel": extension})
    assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011001")
    assert "livereel" in reply.json()["error_detail"]


async def test_templates_name_it_only_when_used(api: Api) -> None:
    await make_domain(api)
    plain = (await api.call("POST", "record/rules", rule())).json()
    assert "livereel" not in plain
    body = rule(stream="armed") | {"livereel": {"armed": True, "pre_roll": 5}}
    made = (await api.call("POST", "record/rules", body)).json()
    assert made["livereel"] == {"armed": True, "pre_roll": 5}
    shown = (await api.call("GET", f"record/rules/{made['id']}")).json()
    assert json.dumps(shown, sort_keys=True) == json.dumps(made, sort_keys=True)
    continuous = body | {"stream": "always", "record_type": "CONTINUOUS_RECORD"}
    reply = await api.call("POST", "record/rules", continuous)
    assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011001")
