import pytest

from livereel.rtmp import chunks, demuxer


def test_python_is_always_there():
    assert demuxer.load("python") == ("python", chunks.ChunkReader)


def test_auto_finds_one_and_build_names_it():
    name, reader = demuxer.load("auto")
    assert name in ("python", "compiled")
    assert reader().feed(b"") == []
    assert demuxer.build() in ("python", "compiled")


def test_compiled_is_the_twin_or_an_error_that_says_so():
    try:
        name, reader = demuxer.load("compiled")
    except ValueError as error:
        assert "no twin" in str(error)
    else:
        assert name == "compiled"
        assert reader is not chunks.ChunkReader


def test_an_unknown_choice_is_named():
    with pytest.raises(ValueError, match="'fast'"):
        demuxer.load("fast")
