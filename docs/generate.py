"""Writes reference pages in docs from the code: `python docs/generate.py`. A test compares them."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from typer.testing import CliRunner

from livereel.api.huawei.compatibility import CHANGED_FACTS, NEVER_ANSWERED, NOTES, OPEN_POINTS, Decision
from livereel.api.huawei.operations import OPERATIONS
from livereel.cli.main import app
from livereel.observe import metrics
from livereel.settings import Settings

HERE = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py from the code; do not edit. -->"
WIDTH = 100  # columns of help texts

#: Defaults that depend on the machine.
COMPUTED = {"node": "the host name", "recorder.workers": "number of CPU cores"}

SETTINGS_INTRODUCTION = """\
# Settings

Every setting has a default that works; a server needs none. A value comes from, in this order:

1. the environment: `LIVEREEL_` and the name in capitals, `__` between group and member (`LIVEREEL_RTMP__PORT=1936`),
2. a TOML file: `livereel.toml` in the working directory, or the one that `--config` or `LIVEREEL_CONFIG` names,
3. the default.

```toml
data_dir = "/var/lib/livereel"

[api]
public_url = "https://rec.example.com"

[callbacks]
allow_private = ["10.1.0.0/16"]
```

Lists may be written `a,b` in the environment. A setting that is misspelt or out of range ends every command with one
line that names it. `livereel doctor` shows what is in effect and what else is wrong.
"""

OTHER_VARIABLES = """\
## Other variables

| variable | meaning |
|---|---|
| `LIVEREEL_CONFIG` | settings file to read instead of `livereel.toml` |
| `LIVEREEL_DEMUXER` | `auto` (default), `python` or `compiled`: which build of the RTMP chunk reader is used |

The compiled reader is there if the package was built with it, which takes a C compiler and what `make venv` installs:

    LIVEREEL_COMPILE=1 .venv/bin/pip install --no-deps --no-build-isolation --editable .

`livereel doctor` says which one is in use.
"""

METRICS_INTRODUCTION = """\
# Metrics

`GET /metrics` on the API port gives these in the Prometheus text format, together with `process_*` and `python_*` of
the server process. Counters are named with `_total` there; histograms have `_bucket`, `_sum` and `_count`. They count
since the process started. Recorder workers are separate processes; what they do is counted by the server.

Only this machine may read them, without credentials, unless `api.metrics_allow` names others; to everybody else the
path does not exist.
"""

CLI_INTRODUCTION = """\
# Command line

`livereel` takes its settings as described in [settings.md](settings.md). Commands other than `serve` and `demo` work on
the catalogue directly, also while a server runs. They end with 0, with 1 when something failed and with 2 for wrong
usage or settings; messages about failures go to standard error in one line.
"""

COMPATIBILITY_INTRODUCTION = """\
# Compatibility

What an application written for the cloud meets when only its endpoint is changed. The contract tests (tests/contract)
call every operation of the official Python SDK and compare each member of the answer; the statuses below are what they
want. Errors are in [errors.md](errors.md), permissions in [permissions.md](permissions.md), quotas in
[limits.md](limits.md), extensions in [extensions.md](extensions.md).

## Operations

Paths are below `/v1/{project_id}` unless they begin with `/v3`. "?" marks a success status that no document gives.
`full`: does what the documents say; `refused`: answers the documented error only; `ours`: no cloud has it.
`POST /v3/auth/tokens` (a token for a password) answers 201 as documented.
"""

OPEN_INTRODUCTION = """\
## Open points

What the documents leave open, and what livereel does.
"""

CHANGED_INTRODUCTION = """\
## Where editions differ

The newest edition counts, unless it is said otherwise.
"""

NEVER_INTRODUCTION = """\
## Codes that are never answered

The cloud's tables have these too. [errors.md](errors.md) has those that are answered.
"""


def settings_page() -> str:
    """docs/operate/settings.md"""
    schema = Settings.model_json_schema()
    single = {name: member for name, member in schema["properties"].items() if not _group(member)}
    parts = [NOTE, SETTINGS_INTRODUCTION, "## General\n", *_table(schema, single, "")]
    for name, member in schema["properties"].items():
        if reference := _group(member):
            group = schema["$defs"][reference]
            parts += [f"\n## {name}\n", f"{group['description']}\n", *_table(schema, group["properties"], f"{name}.")]
            for inner, table in group["properties"].items():
                if each_of := _group(table.get("additionalProperties", {})):
                    each, prefix = schema["$defs"][each_of], f"{name}.{inner}.<name>."
                    parts += [f"\n### {prefix[:-1]}\n", f"{each['description']}\n"]
                    parts += _table(schema, each["properties"], prefix)
    return "\n".join([*parts, "", OTHER_VARIABLES])


def metrics_page() -> str:
    """docs/operate/metrics.md"""
    found = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in found:
        [family] = metric.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "-"
        lines.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join([NOTE, METRICS_INTRODUCTION, *lines, ""])


def cli_page() -> str:
    """docs/operate/cli.md"""

    def section(words: tuple[str, ...]) -> str:
        result = CliRunner().invoke(app, [*words, "--help"], prog_name="livereel", terminal_width=WIDTH)
        assert result.exit_code == 0, result.output
        title = " ".join(("livereel", *words))
        text = "\n".join(line.rstrip() for line in result.stdout.strip().splitlines())
        return f"{'#' * (len(words) + 2)} {title}\n\n```text\n{text}\n```\n"

    return "\n".join([NOTE, CLI_INTRODUCTION, *(section(words) for words in _commands(app, ()))])


def compatibility_page() -> str:
    """docs/api/compatibility.md"""
    lines = ["| Operation | Request | Documented | Here | | Known differences |", "|---|---|---|---|---|---|"]
    for operation in OPERATIONS:
        note = NOTES[operation.name]
        request = f"{operation.method} {operation.path.removeprefix('/v1/{project_id}')}"
        here = ", ".join(map(str, note.statuses)) or "-"
        row = (operation.name, request, note.documented, here, note.support.value, " ".join(note.differences))
        lines.append("| " + " | ".join(row).rstrip() + " |")
    never = [f"| {code} | {reason} |" for code, reason in NEVER_ANSWERED.items()]
    return "\n".join(
        [
            *(NOTE, COMPATIBILITY_INTRODUCTION, *lines, ""),
            *(OPEN_INTRODUCTION, *_decisions("Open", "Known", OPEN_POINTS), ""),
            *(CHANGED_INTRODUCTION, *_decisions("Subject", "Documents", CHANGED_FACTS), ""),
            *(NEVER_INTRODUCTION, "| Code | Why |", "|---|---|", *never, ""),
        ]
    )


def _decisions(subject: str, known: str, decisions: tuple[Decision, ...]) -> Iterator[str]:
    yield f"| {subject} | {known} | livereel |"
    yield "|---|---|---|"
    for decision in decisions:
        yield "| " + " | ".join(decision) + " |"


#: By path below docs.
PAGES = {
    "operate/settings.md": settings_page,
    "operate/metrics.md": metrics_page,
    "operate/cli.md": cli_page,
    "api/compatibility.md": compatibility_page,
}


def _commands(group: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield words
    for command in group.registered_commands:
        yield (*words, command.name or command.callback.__name__)
    for inner in group.registered_groups:
        yield from _commands(inner.typer_instance, (*words, inner.typer_instance.info.name))


def _group(member: dict[str, Any]) -> str | None:
    reference = member.get("$ref")
    return reference.rpartition("/")[2] if reference else None


def _table(schema: dict[str, Any], members: dict[str, Any], prefix: str) -> Iterator[str]:
    yield "| setting | value | default | meaning and reason |"
    yield "|---|---|---|---|"
    for name, member in members.items():
        meaning = " ".join(member["description"].split())
        yield f"| `{prefix}{name}` | {_value(member)} | {_default(prefix + name, member)} | {meaning} |"


def _value(member: dict[str, Any]) -> str:
    if choices := member.get("anyOf"):
        member = next(choice for choice in choices if choice.get("type") != "null") | {"title": ""}
    if "enum" in member:
        return ", ".join(f"`{choice}`" for choice in member["enum"])
    if member.get("type") == "object":
        return "tables"
    if member.get("type") == "array":
        return "list of networks"
    if member.get("format") in {"path", "password"}:
        return {"path": "path", "password": "URL"}[member["format"]]
    kind = {"string": "text", "integer": "integer", "number": "number", "boolean": "true, false"}[member["type"]]
    least = member.get("minimum", member.get("exclusiveMinimum"))
    most = member.get("maximum")
    if least is None or kind == "text":
        return kind
    if "minimum" in member and most is not None:
        return f"{kind}, {least:,.0f} to {most:,.0f}"
    lower = f"above {least:g}" if "exclusiveMinimum" in member else f"at least {least:,.0f}"
    return f"{kind}, {lower}" if most is None else f"{kind}, {lower}, at most {most:,.0f}"


def _default(name: str, member: dict[str, Any]) -> str:
    if name in COMPUTED:
        return COMPUTED[name]
    value = member.get("default")
    if value is None:
        return "-"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "empty" if value == [] else f"`{value}`"


def main() -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), "utf-8")


if __name__ == "__main__":
    os.environ.pop("COLUMNS", None)
    sys.exit(main())
