"""What `verify --release` says of a registry: which tag was asked, what it should hold, and what it holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from commands.publish import Publisher
from commands.verify_release import Question, check_releases
from core.errors import PublishError, UsageError
from core.signing import SecretKey
from publish.check.findings import CheckResult
from publish.registry.reference import Repository
from publish.trust.revision import Revision
from tests.registry_server import RegistryServer, registry_server
from tests.unit.flow.conftest import FakeEnvironment, Harness

EACH = '[greeter]\nsummary = "says hello"\neach = "hello"\npath = "/hello"\nbare = "plain"\n'
NAME = "tools/greeter"


@dataclass
class Shop:
    """Two images in a registry: 2.0 (latest) and 2.0-secure (secure)."""

    harness: Harness
    server: RegistryServer
    key: SecretKey

    def publish(self, **options: Any) -> None:
        publisher = Publisher(
            context=self.harness.context(),
            key=self.key,
            look_at_toolchain=lambda _: None,  # which takes seconds
            find_revision=lambda _: Revision(commit="e" * 40, tree="f" * 64),
            **options,
        )
        repository = Repository.parse(f"oci://{self.server.host}/tools")
        publisher.to_registry(repository, latest=True)

    def verify(self, place: str = f"/{NAME}", **flags: str) -> dict[str, CheckResult]:
        context = self.harness.context(public_key=self.key.public.line)
        where = f"oci://{self.server.host}{place}"
        found: Sequence[CheckResult] = check_releases(context, where, question=Question.of(**flags))
        return {result.label: result for result in found}

    def point(self, tag: str, at: str) -> None:
        """Move a tag behind everybody's back."""
        self.server.store.tags[NAME, tag] = self.server.store.tags[NAME, at]


@pytest.fixture
def shop(harness: Harness) -> Iterator[Shop]:
    harness.environment = FakeEnvironment()
    (harness.world.recipes / "images.toml").write_text(EACH)
    harness.build("hello:plain", "hello:secure")
    with registry_server() as server:
        made = Shop(harness=harness, server=server, key=SecretKey.generate())
        made.publish()
        yield made


def whats(result: CheckResult) -> str:
    return "\n".join(f"{finding.path}: {finding.what}" for finding in result.findings)


def test_every_tag_holds_what_it_should(shop: Shop) -> None:
    found = shop.verify()
    assert all(found.values()), [whats(result) for result in found.values()]
    assert set(found) == {
        "greeter:2.0",
        "greeter:2.0-secure",
        "greeter:latest (holds 2.0)",
        "greeter:secure (holds 2.0-secure)",
    }
    assert all(result.signer == shop.key.public.name for result in found.values())


def test_one_variant_under_the_tag_of_another(shop: Shop) -> None:
    shop.point("secure", at="2.0")
    found = shop.verify(f"/{NAME}:secure")
    (result,) = found.values()
    said = "greeter:secure: the tag secure should hold VERSION-secure, and holds 2.0"
    assert said in whats(result)
    assert not result


def test_a_wrong_version_hides_nothing_of_the_rest(shop: Shop) -> None:
    shop.point("2.0-secure", at="2.0")
    found = shop.verify()
    assert len(found) == 4
    bad = [label for label, result in found.items() if not result]
    assert bad == ["greeter:2.0-secure"]
    assert "should hold the image 2.0-secure, and holds 2.0" in whats(found["greeter:2.0-secure"])
    (alone,) = shop.verify(f"/{NAME}:2.0-secure").values()
    assert not alone


def test_an_image_that_is_gone_hides_nothing_of_the_rest(shop: Shop) -> None:
    digest = shop.server.store.tags[NAME, "secure"]
    shop.server.store.tags[NAME, "2.0-secure"] = "sha256:" + "0" * 64
    found = shop.verify()
    assert [label for label, result in found.items() if not result] == ["greeter:2.0-secure"]
    assert shop.server.store.tags[NAME, "secure"] == digest


def test_an_older_build_under_the_tag_of_a_newer(shop: Shop) -> None:
    shop.publish(number=1)
    assert {"greeter:2.0-r1", "greeter:latest (holds 2.0-r1)"} <= set(shop.verify())
    shop.point("2.0-r1", at="2.0")
    result = shop.verify()["greeter:2.0-r1"]
    assert "should hold the image 2.0-r1, and holds 2.0" in whats(result)


def test_a_tag_that_nobody_promised_is_noted(shop: Shop) -> None:
    shop.point("mine", at="2.0")
    result = shop.verify()["greeter:mine (holds 2.0)"]
    assert result
    assert "the tag mine is none that inv publish makes: it holds 2.0" in result.notes


def test_version_and_age_are_asked_of_the_signature(shop: Shop) -> None:
    place = f"/{NAME}:latest"
    (good,) = shop.verify(place, expect_version="2.0", not_older_than="2026-01-02").values()
    assert good, whats(good)
    (bad,) = shop.verify(place, expect_version="3.0", not_older_than="2026-01-03").values()
    assert "version 3.0 was expected, and it is 2.0" in whats(bad)
    assert "nothing older than 2026-01-03 was expected, and it is of 2026-01-02" in whats(bad)
    context = shop.harness.context()
    where = f"oci://{shop.server.host}{place}"
    (unknown,) = check_releases(context, where, question=Question.of(expect_version="2.0"))
    assert "cannot be checked without its signature and a key" in whats(unknown)


def test_what_is_not_there_is_no_finding(shop: Shop) -> None:
    with pytest.raises(PublishError, match="There is no"):
        shop.verify(f"/{NAME}:4.0")


def test_questions_that_make_no_sense(shop: Shop) -> None:
    for flags in ({"keys": "0"}, {"keys": "x"}, {"not_older_than": "yesterday"}):
        with pytest.raises(UsageError):
            Question.of(**flags)
    with pytest.raises(UsageError, match="needs as many public keys"):
        shop.verify(keys="2")
    with pytest.raises(UsageError, match="about a release directory"):
        shop.verify(only="curl")
