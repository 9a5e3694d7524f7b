"""URL signing of domains (`guard/key-chain`) and making signatures (`auth/chain`)."""

from livereel.catalogue.port import Catalogue
from livereel.control.domains import known_domain
from livereel.domain.clock import Clock
from livereel.domain.errors import InvalidParameter
from livereel.domain.keys import check_app, check_stream
from livereel.domain.tenancy import AuthType, DomainType, KeyChain
from livereel.iam.url_signing import CheckLevel, signed_queries

#: What play URLs of a stream may end in; push URLs have no extension.
_EXTENSIONS = {DomainType.PUSH: ("",), DomainType.PULL: ("", ".flv", ".m3u8")}


class UrlGuardService:
    """One key chain per domain, ingest or streaming. Those of ingest domains are checked at each publish."""

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock

    async def get(self, project_id: str, domain: str) -> KeyChain | None:
        """The key chain, None if URLs of the domain are not checked. Raises UnknownDomain."""
        async with self._catalogue.read() as uow:
            await known_domain(uow, project_id, domain)
            return await uow.key_chains.get(domain)

    async def put(self, project_id: str, chain: KeyChain) -> None:
        """Check URLs of a domain from the next push on. Raises UnknownDomain."""
        async with self._catalogue.write() as uow:
            await known_domain(uow, project_id, chain.domain)
            await uow.key_chains.put(chain)

    async def delete(self, project_id: str, domain: str) -> None:
        """Check no more; harmless when there is no key chain. Raises UnknownDomain."""
        async with self._catalogue.write() as uow:
            await known_domain(uow, project_id, domain)
            await uow.key_chains.delete(domain)

    async def sign(  # noqa: PLR0917  the members of the request
        self,
        project_id: str,
        domain: str,
        domain_type: DomainType,
        app: str,
        stream: str,
        level: CheckLevel | None,
        start_at: float | None,
    ) -> list[str]:
        """Query strings that sign URLs of a stream from `start_at` (Unix time; None: now) on.

        Raises InvalidParameter, UnknownDomain among them, also when the domain has no key chain.
        """
        check_app(app)
        check_stream(stream)
        async with self._catalogue.read() as uow:
            found = await known_domain(uow, project_id, domain)
            chain = await uow.key_chains.get(domain)
        if found.type is not domain_type:
            raise InvalidParameter(f"domain_type (body): {domain} is a {found.type} domain")
        if chain is None:
            raise InvalidParameter(f"{domain} has no key chain; set one with PUT guard/key-chain")
        if chain.auth_type is AuthType.C_AES and level is None:
            raise InvalidParameter("check_level (body): c_aes wants 3 (stream only) or 5 (stream and time)")
        at = self._clock.now() if start_at is None else start_at
        return signed_queries(chain, app, stream, at, level=level, extensions=_EXTENSIONS[domain_type])
