"""Files for other machines, run by qemu: a 32-bit one, and one whose bytes are the other way round."""

from dataclasses import replace

import pytest

from builders.engines.choose import find_emulator
from builders.engines.scratch_root import SandboxEnvironment
from core.target import Target
from tests.behaviour.test_empty_root import (
    Alone,
    test_files,
    test_http,
    test_https,
    test_it_says_who_it_is,
    test_names_need_what_is_not_there,
    test_sockets_and_servers,
    test_the_deadline,
)
from tests.built import Built
from tests.interpreters import FROZEN, PROBES, Interpreter

pytestmark = [pytest.mark.builds, pytest.mark.sandbox]

# The core of the behaviour tests, with the files that `alone` gives them here. Not the one about a missing /proc: qemu
# answers for /proc/self itself.
__all__ = [
    "test_files",
    "test_http",
    "test_https",
    "test_it_says_who_it_is",
    "test_names_need_what_is_not_there",
    "test_sockets_and_servers",
    "test_the_deadline",
]

TARGETS = (Target.ARM_V6, Target.S390X)
PRODUCTS = ("curl:mini", *PROBES)
FILES = [(Target.ARM_V6, False), (Target.ARM_V6, True), (Target.S390X, False)]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Products for machines that this one is not; skipped where nothing here can run them."""
    missing = [
        f"qemu-{target.machine.arch}-static" for target in TARGETS if not find_emulator(target)
    ]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (apt-get install -y qemu-user-static)")
    return Built.once(tmp_path_factory.mktemp("foreign"), *PRODUCTS, targets=TARGETS)


@pytest.fixture(params=FROZEN)
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    return Interpreter(request.param)


@pytest.fixture(params=FILES, ids=["arm-v6", "arm-v6-packed", "s390x"])
def alone(
    interpreter: Interpreter,
    request: pytest.FixtureRequest,
    foreign: Built,
    empty_roots: SandboxEnvironment,
) -> Alone:
    target, packed = request.param
    environment = replace(empty_roots, emulator=find_emulator(target))
    return Alone(environment, foreign.file(interpreter.product, packed=packed, target=target))


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("target", TARGETS)
def test_the_build_has_tried_them_out(foreign: Built, product: str, target: Target) -> None:
    entry = foreign.entry(product, target=target)
    assert entry["verdict"]["ok"]
    assert entry["smoke"] == {"ran": True, "ok": True, "how": "qemu"}


def test_the_list_shows_them(foreign: Built) -> None:
    done = foreign.inv("list", "--target", "linux/s390x,linux/arm/v7")
    assert done.code == 0, done.stderr
    lines = {tuple(line.split()[:3]): line for line in done.stdout.splitlines()}
    size = foreign.entry("probe:mini", target=Target.S390X)["size"]
    assert lines["probe:mini", "linux/s390x", "plain"].split()[3:] == [
        f"{size:,}",
        "ok",
        "ok",
        "qemu",
    ]
    assert "UPX 4.2.4 knows no s390x" in lines["probe:mini", "linux/s390x", "packed"]
    assert "not built" in lines["probe:mini", "linux/arm/v7", "plain"]
