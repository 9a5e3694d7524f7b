"""Every operation has a note in the compatibility table, and every one that the SDK has a contract test."""

import importlib
import pkgutil

import tests.contract
from livereel.api.huawei.compatibility import NEVER_ANSWERED, NOTES, Support
from livereel.api.huawei.errors import WIRE, WIRE_OF_OPERATION
from livereel.api.huawei.operations import OPERATIONS
from tests.contract.client import in_sdk


def covered() -> set[str]:
    """What the tests of this folder say they are about; each is held to it when it runs."""
    found = set[str]()
    for module in pkgutil.iter_modules(tests.contract.__path__, "tests.contract."):
        for test in vars(importlib.import_module(module.name)).values():
            for mark in getattr(test, "pytestmark", ()) if callable(test) else ():
                if mark.name == "operations":
                    found.update(mark.args)
    return found


def test_every_operation_of_the_sdk_has_a_contract_test() -> None:
    assert covered() == {operation.name for operation in OPERATIONS if in_sdk(operation.name)}


def test_every_operation_has_a_note() -> None:
    assert set(NOTES) == {operation.name for operation in OPERATIONS}


def test_notes_are_of_one_mind_with_the_operations() -> None:
    for operation in OPERATIONS:
        note = NOTES[operation.name]
        assert operation.ours == (note.support is Support.OURS), operation.name
        assert bool(note.statuses) == (note.support is not Support.REFUSED), operation.name
        assert in_sdk(operation.name) == (note.support is Support.FULL and operation.path.startswith("/v1/"))


def test_what_is_never_answered_is_never_answered() -> None:
    answered = {found.code for found in [*WIRE.values(), *WIRE_OF_OPERATION.values()]}
    assert not answered & set(NEVER_ANSWERED)
