"""The OpenAPI document says of every operation what it answers and refuses, and its patterns are the real ones."""

import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from livereel.api.app import create_app
from livereel.api.description.refusals import OWN
from livereel.api.description.replies import MORE_STATUSES, REPLIES
from livereel.domain.errors import InvalidName
from livereel.domain.keys import StreamKey

ELSEWHERE = {"CreateRecordConfig", "ListRecordConfigs", "DeleteRecordConfig", "DownloadFile", "Metrics"}


class Anything:
    """Stands for services that no request of this test reaches."""

    def __getattr__(self, name: str) -> Any:
        return Anything()


DOCUMENT = create_app(Anything()).openapi()  # type: ignore[arg-type]
OPERATIONS = {details["operationId"]: details for methods in DOCUMENT["paths"].values() for details in methods.values()}


def test_the_tables_name_the_operations_that_there_are() -> None:
    assert set(REPLIES) | ELSEWHERE == set(OPERATIONS)
    assert set(OWN) | set(MORE_STATUSES) <= set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_has_its_description(name: str) -> None:
    answers = OPERATIONS[name]["responses"]
    assert "422" not in answers
    assert {"414", "494", "500"} <= set(answers)
    for answer in answers.values():
        assert answer["description"]
        assert answer["headers"]["X-request-id"]["required"]


def test_an_operation_in_full() -> None:
    run = OPERATIONS["RunRecord"]
    assert set(run["responses"]) == {
        *("200", "400", "401", "403", "404", "413", "414", "429", "494", "500", "503"),
    }
    assert "content" not in run["responses"]["200"]
    assert "LIVE.100011022" in run["responses"]["400"]["description"]
    assert run["security"] == [{"signature": []}, {"token": []}]
    assert "security" not in OPERATIONS["Health"]


def test_null_is_absent() -> None:
    body = DOCUMENT["components"]["schemas"]["IndexBody"]["properties"]["object"]
    assert {"type": "null"} in body["anyOf"]


BODY = DOCUMENT["components"]["schemas"]["ControlBody"]["properties"]
NAMES = ("publish_domain", "app", "stream")
GRAMMAR = [BODY[name]["pattern"].removeprefix("^").removesuffix("$") for name in NAMES]


@given(st.tuples(*(st.from_regex(grammar, fullmatch=True) for grammar in GRAMMAR)))
def test_names_that_fit_the_document_are_taken(names: tuple[str, ...]) -> None:
    assume(all(len(name) <= BODY[member]["maxLength"] for member, name in zip(NAMES, names, strict=True)))
    StreamKey.parse(*names)


@given(st.text(max_size=20), st.integers(0, 2))
def test_names_that_do_not_fit_are_refused(text: str, which: int) -> None:
    assume(not re.fullmatch(GRAMMAR[which], text))
    with pytest.raises(InvalidName):
        StreamKey.parse(*(text if index == which else "a" for index in range(3)))
