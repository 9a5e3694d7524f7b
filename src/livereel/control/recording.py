"""START and STOP as the API sees them: find the template, ask the owner of the stream."""

from livereel.catalogue.port import Catalogue
from livereel.cluster.port import Action, Cluster, Command, StartOptions
from livereel.domain.errors import NoCommandTemplate, NothingRecording
from livereel.domain.keys import StreamKey
from livereel.domain.templates import RecordType, match


class Recording:
    """The two verbs of `record/control`. Both return the id of the task concerned."""

    def __init__(self, catalogue: Catalogue, cluster: Cluster) -> None:
        self._catalogue = catalogue
        self._cluster = cluster

    async def start(self, project_id: str, key: StreamKey, options: StartOptions | None = None) -> str:
        """Start recording a live stream; returns when its first key frame is in the spool.

        An armed START (`options` or the template's `armed`) of a stream that is not live returns at once.

        Raises NoCommandTemplate, StreamNotLive, NoKeyFrame, TaskExists, ShuttingDown.
        """
        async with self._catalogue.read(latest=False) as uow:
            domain = await uow.domains.get(key.domain)
            templates = await uow.templates.for_domain(key.domain) if domain else []
        if domain is None or domain.project_id != project_id:
            raise NoCommandTemplate(f"there is no domain {key.domain} in this project, so no template covers {key}")
        template = match(templates, key)
        if template is None:
            raise NoCommandTemplate(
                f"no recording template covers {key}; create one with record_type COMMAND_RECORD (POST record/rules)"
            )
        if template.record_type is not RecordType.COMMAND:
            raise NoCommandTemplate(
                f"the template that decides over {key} ({template.app}/{template.stream}, {template.record_type}) "
                "does not record on command"
            )
        answer = await self._cluster.ask(Command(Action.START, project_id, key, template, options or StartOptions()))
        return answer.task_id

    async def stop(self, project_id: str, key: StreamKey) -> str:
        """Stop recording a stream; its files are finished in the background. Raises NothingRecording."""
        async with self._catalogue.read(latest=False) as uow:
            domain = await uow.domains.get(key.domain)
        if domain is None or domain.project_id != project_id:
            raise NothingRecording(f"there is no domain {key.domain} in this project, so nothing records {key}")
        answer = await self._cluster.ask(Command(Action.STOP, project_id, key))
        return answer.task_id
