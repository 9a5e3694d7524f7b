"""The command answers at once: nothing heavy is imported before it is needed."""

import subprocess
import sys

HEAVY = ["aiohttp", "av", "cryptography", "fastapi", "pydantic", "sqlalchemy", "structlog", "uvicorn", "rich.table"]


def test_nothing_heavy_is_imported_for_help() -> None:
    script = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from livereel.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_is_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "livereel", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("livereel ")
