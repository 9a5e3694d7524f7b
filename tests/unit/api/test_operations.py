"""The table of operations and FastAPI's routes are the same thing."""

from typing import Any

from livereel.api.app import create_app
from livereel.api.huawei.operations import OPERATIONS, find

WITHOUT_CREDENTIALS = {
    ("POST", "/v3/auth/tokens"),
    ("GET", "/files/{bucket}/{key}"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
}


class Anything:
    """Stands for services that no request of this test reaches."""

    def __getattr__(self, name: str) -> Any:
        return Anything()


def test_routes_and_operations_agree() -> None:
    document = create_app(Anything()).openapi()  # type: ignore[arg-type]
    routes = {
        (method.upper(), path): details["operationId"]
        for path, methods in document["paths"].items()
        for method, details in methods.items()
    }
    table = {(operation.method, operation.path): operation.name for operation in OPERATIONS}
    assert {key: name for key, name in routes.items() if key not in WITHOUT_CREDENTIALS} == table
    assert set(routes) >= WITHOUT_CREDENTIALS


def test_names_and_actions() -> None:
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
    for operation in OPERATIONS:
        areas = ("live:livereel:",) if operation.ours else ("live:record:", "live:domain:", "live:stream:")
        assert operation.action is None or operation.action.startswith(areas)
        assert operation.ours == ("/livereel/" in operation.path)


def test_find() -> None:
    found = find("PUT", "/v1/p1/record/rules/r1")
    assert found is not None
    assert (found[0].name, found[1]) == ("UpdateRecordRule", "p1")
    assert find("GET", "/v3/projects") is not None
    for method, path in (
        ("PUT", "/v1/p1/record/rules"),
        ("PUT", "/v1/p1/record/rules/"),
        ("PUT", "/v1/p1/record/rules/a/b"),
        ("PUT", "/v1//record/rules/a"),
        ("put", "/v1/p1/record/rules/a"),
        ("GET", "/v1/p1/record/rulesx"),
        ("GET", "x/v1/p1/record/rules"),
    ):
        assert find(method, path) is None
