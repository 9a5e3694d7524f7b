"""Everything static stands in pyproject.toml; here is only the optional compiled twin of the chunk reader.

LIVEREEL_COMPILE=1 pip install .    compiles it with mypyc (needs mypy and a C compiler)
pip install .                       builds a wheel of pure Python
"""

import os
from pathlib import Path

from setuptools import setup

SOURCE = Path("src/livereel/rtmp/chunks.py")
TWIN = SOURCE.with_name("_chunks_compiled.py")


def compiled_modules():
    """The twin, made from the very source that is its fallback and deleted when its C code is written."""
    from mypyc.build import mypycify  # noqa: PLC0415 - only where it is asked for

    TWIN.write_text(SOURCE.read_text(encoding="utf-8"), encoding="utf-8")
    try:
        return mypycify(["--strict", str(TWIN)], opt_level="3", target_dir="build/mypyc")
    finally:
        TWIN.unlink()


setup(ext_modules=compiled_modules() if os.environ.get("LIVEREEL_COMPILE") == "1" else [])
