"""The campaign's own judge sees what it must see."""

from tests.campaigns.elf import badly_loaded
from tests.fixtures.make_elf import fixtures


def test_the_judge_knows_what_a_kernel_would_load() -> None:
    files = fixtures()
    assert badly_loaded(files["interpreter-no-needed"]) == "an interpreter"
    assert badly_loaded(files["rwx-segment"]) == "memory that is writable and executable"
    for name in ("good-amd64", "good-386", "good-arm64", "good-s390x", "good-amd64-static-pie"):
        assert badly_loaded(files[name]) == "", name
