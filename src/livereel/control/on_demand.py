"""ON_DEMAND_RECORD: the tenant's service decides over each push."""

from collections.abc import Callable
from dataclasses import replace

import structlog

from livereel.callbacks.on_demand import NoUsableAnswer, ask
from livereel.callbacks.sender import Sender
from livereel.catalogue.port import Catalogue
from livereel.domain.clock import Clock
from livereel.domain.templates import Template
from livereel.streams.stream import Stream

log = structlog.get_logger()


class OnDemand:
    """Asks the `on_demand_callback_url` of the domain's callback configuration.

    Without a usable answer the push is recorded as the template says (`record_on_failure`), or not at all.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        sender: Sender,
        clock: Clock,
        new_id: Callable[[], str],
        *,
        record_on_failure: bool,
    ) -> None:
        self._catalogue = catalogue
        self._sender = sender
        self._clock = clock
        self._new_id = new_id
        self._record_on_failure = record_on_failure

    async def decide(self, stream: Stream, template: Template) -> Template | None:
        """The template with the formats to record this push in, or None."""
        try:
            async with self._catalogue.read() as uow:
                config = await uow.callbacks.by_domain(stream.key.domain)
            if config is None or not config.on_demand_url or config.project_id != template.project_id:
                raise NoUsableAnswer("the domain has no on_demand_callback_url (record/callbacks)")
            if not config.covers(stream.key):
                raise NoUsableAnswer(f"the on_demand_callback_url of the domain is for the app {config.app} only")
            verdict = await ask(
                self._sender,
                url=config.on_demand_url,
                key=config.key,
                question_id=self._new_id(),
                now=self._clock.now(),
                question={
                    "event_type": "RECORD_ON_DEMAND",
                    "project_id": template.project_id,
                    "publish_domain": stream.key.domain,
                    "app": stream.key.app,
                    "stream": stream.key.stream,
                    "template_id": template.id,
                    "publish_id": stream.publish.id,
                    "publish_timestamp": int(stream.publish.started_at),
                    "client_ip": stream.publish.client_ip,
                    "user_args": stream.publish.user_args,
                },
            )
            if not verdict.record:
                log.info("on_demand_refused", stream=str(stream.key))
                return None
            return _narrowed(template, verdict.formats)
        except NoUsableAnswer as problem:
            log.warning(
                "on_demand_unanswered", stream=str(stream.key), reason=problem.detail, records=self._record_on_failure
            )
            return template if self._record_on_failure else None


def _narrowed(template: Template, formats: frozenset[object] | None) -> Template:
    if formats is None:
        return template
    kept = {name: config for name, config in template.formats.items() if name in formats}
    if not kept:
        raise NoUsableAnswer("none of the formats in the answer is one of the template's")
    return replace(template, formats=kept)
