"""`livereel serve`: run the server until it is told to stop."""

import asyncio
import errno
from typing import TYPE_CHECKING

import typer

from livereel.cli.shell import EXIT_USAGE, fail, say, settings_of
from livereel.domain.errors import LivereelError

if TYPE_CHECKING:
    from livereel.app import Server
    from livereel.settings import Settings


def serve(context: typer.Context) -> None:
    """Run the server.

    It ends with SIGTERM or Ctrl-C after finishing open recordings; a second one ends it at once. The very first start
    makes a project, an ingest domain and an access key, and prints the key once.
    """
    settings = settings_of(context)
    import structlog

    try:
        from livereel.app import run
    except ValueError as problem:  # LIVEREEL_DEMUXER, which counts when the reader is imported
        fail(str(problem), EXIT_USAGE)
    from livereel.observe import interpreter, logging
    from livereel.settings import unknown_variables

    logging.configure(settings.log.level, settings.log.format)
    for name in unknown_variables():
        structlog.get_logger().warning("environment_variable_unused", name=name)
    interpreter.tune()
    try:
        asyncio.run(run(settings, lambda server: _announce(settings, server)))
    except LivereelError as problem:
        fail(problem.detail)
    except OSError as problem:
        hint = "; `livereel doctor` says which port it is" if problem.errno == errno.EADDRINUSE else ""
        import ssl

        if isinstance(problem, ssl.SSLError):
            hint = f"; is {settings.api.tls_certificate} a certificate, and {settings.api.tls_key} its key?"
        fail(f"cannot start: {problem}{hint}")


def _announce(settings: "Settings", server: "Server") -> None:
    say(f"Push to   rtmp://{_host(settings.rtmp.host)}:{server.rtmp_port}/live/STREAM")
    say(f"API at    {settings.public_url(server.api_port)}")
    if (key := server.first_key) is not None:
        say("")
        say("This was the first start. The access key of user admin, shown only now:")
        say(f"  AK       {key.access}")
        say(f"  SK       {key.secret}")
        say(f"  project  {key.project_id} ({settings.region})")
        say("Another one: livereel keys create --user admin")


def _host(host: str) -> str:
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104  compared, not listened on
        return "THIS-MACHINE"
    return f"[{host}]" if ":" in host else host
