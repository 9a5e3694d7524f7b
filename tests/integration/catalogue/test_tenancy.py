"""Projects, users and credentials."""

from dataclasses import replace

import pytest

from livereel.catalogue.port import Catalogue, CatalogueError, SeenRequest
from livereel.domain.errors import ResourceExists, ResourceNotFound
from livereel.domain.tenancy import (
    AccessKey,
    DomainStatus,
    DomainType,
    Effect,
    LiveDomain,
    Policy,
    Project,
    Token,
)
from tests.integration.catalogue.nouns import NOW, PROJECT, make_user

DOMAIN = LiveDomain(
    "push.example.com", PROJECT, DomainType.PUSH, DomainStatus.ON, "cn-north-4", "mainland_china", "0", "", NOW
)


async def test_projects_are_found_by_id_and_name(catalogue: Catalogue) -> None:
    project, other = Project(PROJECT, "cn-north-4", NOW), Project("f" * 32, "eu-west-0", NOW + 1)
    async with catalogue.write() as uow:
        await uow.projects.add(project)
        await uow.projects.add(other)
    async with catalogue.read() as uow:
        assert await uow.projects.get(PROJECT) == project
        assert await uow.projects.get("0" * 32) is None
        assert await uow.projects.find() == [project, other]
        assert await uow.projects.find(name="eu-west-0") == [other]
        assert await uow.projects.find(name="EU-WEST-0") == []


async def test_a_taken_name_is_refused_and_the_unit_of_work_goes_on(catalogue: Catalogue) -> None:
    project, later = Project(PROJECT, "cn-north-4", NOW), Project("f" * 32, "eu-west-0", NOW)
    async with catalogue.write() as uow:
        await uow.projects.add(project)
        with pytest.raises(ResourceExists, match="cn-north-4"):
            await uow.projects.add(Project("e" * 32, "cn-north-4", NOW))
        await uow.projects.add(later)
    async with catalogue.read() as uow:
        assert await uow.projects.find() == [project, later]


async def test_users_are_kept_and_changed(catalogue: Catalogue) -> None:
    anna, ben = make_user(name="anna"), make_user(name="ben", project_id="f" * 32, enabled=False)
    async with catalogue.write() as uow:
        await uow.users.add(ben)
        await uow.users.add(anna)
        with pytest.raises(ResourceExists, match="anna"):
            await uow.users.add(make_user(name="anna"))
    async with catalogue.write() as uow:
        with pytest.raises(ResourceExists, match="anna"):
            await uow.users.update(replace(ben, name="anna"))
        await uow.users.update(renamed := replace(ben, name="benno", enabled=True, password_hash="new"))
        with pytest.raises(ResourceNotFound):
            await uow.users.update(make_user())
    async with catalogue.read() as uow:
        assert await uow.users.get(anna.id) == anna
        assert await uow.users.by_name("benno") == renamed
        assert await uow.users.by_name("ben") is None
        assert await uow.users.list() == [anna, renamed]
        assert await uow.users.list(project_id=PROJECT) == [anna]


async def test_access_keys_are_kept_changed_and_deleted(catalogue: Catalogue) -> None:
    user = make_user()
    key = AccessKey("AK00000000000000001", b"\x00\xffsealed", user.id, enabled=True, created_at=NOW)
    async with catalogue.write() as uow:
        await uow.users.add(user)
        await uow.access_keys.add(key)
        with pytest.raises(ResourceExists):
            await uow.access_keys.add(key)
        await uow.access_keys.update(off := replace(key, enabled=False))
        with pytest.raises(ResourceNotFound):
            await uow.access_keys.update(replace(key, access="nobody"))
    async with catalogue.write() as uow:
        assert await uow.access_keys.get(key.access) == off
        assert await uow.access_keys.list() == [off]
        assert await uow.access_keys.list(user_id="nobody") == []
        assert await uow.access_keys.delete(key.access)
        assert not await uow.access_keys.delete(key.access)


async def test_an_access_key_needs_its_user(catalogue: Catalogue) -> None:
    with pytest.raises(CatalogueError, match=r"(?i)foreign key"):
        async with catalogue.write() as uow:
            await uow.access_keys.add(AccessKey("AK", b"", "nobody", enabled=True, created_at=NOW))


async def test_tokens_expire_and_are_revoked(catalogue: Catalogue) -> None:
    user, other = make_user(), make_user()
    old = Token("a" * 64, user.id, PROJECT, NOW - 100, NOW)
    new = Token("b" * 64, user.id, PROJECT, NOW, NOW + 100)
    foreign = Token("c" * 64, other.id, PROJECT, NOW, NOW + 100)
    async with catalogue.write() as uow:
        for one in (user, other):
            await uow.users.add(one)
        for token in (old, new, foreign):
            await uow.tokens.add(token)
        await uow.tokens.delete_expired(NOW)
        assert await uow.tokens.get(old.digest) is None
        assert await uow.tokens.get(new.digest) == new
        await uow.tokens.delete_for_user(user.id)
        assert await uow.tokens.get(new.digest) is None
        assert await uow.tokens.get(foreign.digest) == foreign


async def test_policies_of_a_user(catalogue: Catalogue) -> None:
    user = make_user()
    allow = Policy("1", user.id, Effect.ALLOW, ("live:*", "iam:tokens:get"))
    deny = Policy("2", user.id, Effect.DENY, ())
    async with catalogue.write() as uow:
        await uow.users.add(user)
        await uow.policies.add(deny)
        await uow.policies.add(allow)
        assert await uow.policies.list(user_id=user.id) == [allow, deny]
        assert await uow.policies.delete("2")
        assert not await uow.policies.delete("2")
        assert await uow.policies.list(user_id=user.id) == [allow]


async def test_domains_are_unique_over_all_projects(catalogue: Catalogue) -> None:
    second = replace(DOMAIN, name="a.example.com", type=DomainType.PULL)
    async with catalogue.write() as uow:
        await uow.domains.add(DOMAIN)
        await uow.domains.add(second)
        with pytest.raises(ResourceExists, match=r"push\.example\.com"):
            await uow.domains.add(replace(DOMAIN, project_id="f" * 32))
        await uow.domains.update(off := replace(DOMAIN, status=DomainStatus.OFF))
        with pytest.raises(ResourceNotFound):
            await uow.domains.update(replace(DOMAIN, name="b.example.com"))
    async with catalogue.write() as uow:
        assert await uow.domains.get(DOMAIN.name) == off
        assert await uow.domains.list(PROJECT) == [second, off]
        assert await uow.domains.list("f" * 32) == []
        assert await uow.domains.delete(DOMAIN.name)
        assert not await uow.domains.delete(DOMAIN.name)
        assert await uow.domains.get(DOMAIN.name) is None


async def test_a_signature_is_seen_once_until_it_expires(catalogue: Catalogue) -> None:
    seen = SeenRequest("s" * 64, 201, {"X-request-id": "1", "B": "2"}, b"\x00{}\xff", NOW + 900)
    async with catalogue.write() as uow:
        await uow.seen_requests.add(seen)
        with pytest.raises(ResourceExists):
            await uow.seen_requests.add(seen._replace(status=500))
    async with catalogue.write() as uow:
        await uow.seen_requests.delete_expired(NOW)
        assert await uow.seen_requests.get(seen.signature) == seen
        await uow.seen_requests.delete_expired(NOW + 900)
        assert await uow.seen_requests.get(seen.signature) is None
