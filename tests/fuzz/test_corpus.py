"""Every input of the corpus, on every platform: what was found once is never found again."""

import random
from pathlib import Path

import pytest

from tests.fuzz.campaign import CORPUS, LONGEST_INPUT
from tests.fuzz.names import NAMES
from tests.fuzz.targets import TARGETS

MUTATIONS = 4  # variants tried of each input, always the same ones


def inputs(target: str) -> list[Path]:
    return sorted((CORPUS / target).iterdir())


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert set(NAMES) == set(TARGETS) == {path.name for path in CORPUS.iterdir()}
    assert all(inputs(name) for name in NAMES)
    assert all(path.stat().st_size <= LONGEST_INPUT for name in NAMES for path in inputs(name))


@pytest.mark.parametrize("target", NAMES)
def test_inputs_are_harmless(target: str) -> None:
    for path in inputs(target):
        data = path.read_bytes()
        _try(target, path, data)
        for number in range(MUTATIONS):
            chance = random.Random(f"{path.name} {number}")
            _try(target, path, _mutated(data, chance))


def _try(target: str, path: Path, data: bytes) -> None:
    try:
        TARGETS[target](data)
    except Exception as error:
        error.add_note(f"{target}, an input made of {path.name}: {data.hex()}")
        raise


def _mutated(data: bytes, chance: random.Random) -> bytes:
    spoilt = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(spoilt) + 1)
        match chance.randrange(3):
            case 0:
                spoilt[at : at + 1] = bytes((chance.randrange(256),))
            case 1:
                del spoilt[at : at + chance.randint(1, 16)]
            case 2:
                spoilt[at:at] = spoilt[at // 2 : at // 2 + chance.randint(1, 16)]
    return bytes(spoilt)
