"""A stream that is recorded while other things happen, and must not notice them."""

from tests.faults.encoders import Crew, Encoder
from tests.faults.instance import Instance
from tests.faults.numbered import Media, numbers_in


class Bystander:
    """Pushed and recorded in all formats from its creation until `check`."""

    def __init__(self, server: Instance, crew: Crew, media: Media, name: str = "bystander") -> None:
        self._server, self._media, self.name = server, media, name
        server.template(name)
        self._encoder = Encoder(crew, media, lambda: server.rtmp_port, name).start()
        server.start_when_live(name)
        self._from = self._encoder.sent

    def check(self) -> None:
        """Stop. The recording has every packet, in one push."""
        until = self._encoder.settle()
        assert self._encoder.publishing, "the push was cut off"
        assert self._server.control("STOP", self.name).status == 200
        task = self._server.wait_for_state(self.name, "completed")
        self._encoder.leave()
        assert len(self._encoder.pushes) == 1
        files = self._server.files(task["id"])
        assert {file["format"] for file in files} == {"HLS", "FLV", "MP4"}
        for file in files:
            found = sorted(numbers_in(self._server.path(file), self._media))
            assert found == list(range(found[0], found[-1] + 1)), f"holes in {file['object_key']}"
            assert found[0] <= self._media.key_from(self._from)
            # What was with the server's kernel when STOP came is there.
            assert found[-1] >= until - 1, (found[-1], until)
