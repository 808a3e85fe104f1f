"""What is left out of curl's suite has a reason in data, what the machine lacks is not run, a promise is no excuse."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from commands.docs_curl import unserved_options
from recipes.load import load_recipes
from recipes.model import Recipe
from tests.anchors import ROOT
from tests.campaigns.curl import CAMPAIGN, PARTS, VARIANTS, left_without, part_of, variant_and_part
from tests.campaigns.suite import left_out
from tests.campaigns.suite.left_out import (
    LEFT_OUT,
    UNKNOWN_OPTION,
    LeftOut,
    SuiteTest,
    read_letters,
    read_tests,
)

CURLINFO = "bindlocal: ON\ncookies: OFF\n--libcurl: OFF\n"
LETTERS = {"netrc": "n", "proxy": "x", "cookie": "b", "output": "o", "verbose": "v"}


@pytest.fixture(scope="module")
def curl() -> Recipe:
    return load_recipes(ROOT / "recipes")["curl"]


def of(curl: Recipe, name: str) -> LeftOut:
    variant = next(variant for variant in curl.variants if variant.name == name)
    return LeftOut.of(curl, variant, letters=LETTERS, curlinfo=CURLINFO)


def suite_test(
    number: int, *, keywords: str = "HTTP", wants: str = "", tool: str = ""
) -> SuiteTest:
    return SuiteTest(
        number=number,
        keywords=frozenset(keywords.split(",")),
        wants=frozenset(wants.split()),
        tool=tool,
    )


def test_the_campaign_tries_every_variant_of_the_recipe(curl: Recipe) -> None:
    assert {variant.name for variant in curl.variants} == set(VARIANTS)


def test_every_row_has_a_reason_that_runtests_can_print() -> None:
    data = tomllib.loads(Path(left_out.__file__).with_name("left_out.toml").read_text("utf-8"))
    assert data.pop("machine")["features"]
    assert data.pop("alias")
    rows = [row for rows in data.values() for row in rows]
    assert rows
    for row in rows:
        assert row["reason"].strip()
        assert not set('\n":') & set(row["reason"])
        assert not set("\n:,") & set(row.get("pattern", ""))  # signs of the file of rules


def test_a_row_that_fits_no_test_is_named(curl: Recipe) -> None:
    rules = of(curl, "http")
    fitting = [
        suite_test(1, tool="lib%TESTNUMBER"),
        suite_test(2, keywords="unittest"),
        suite_test(3, keywords="curl-config,documentation,source analysis"),
        suite_test(4, wants="manual crypto"),
        *(
            suite_test(number, wants=feature)
            for row in rules.rows["lacks"]
            for number, feature in enumerate(row["features"], 5)
        ),
    ]
    assert rules.stale(fitting) == []
    for missing in range(len(fitting)):
        assert rules.stale(fitting[:missing] + fitting[missing + 1 :])
    assert len(rules.stale([])) == sum(map(len, rules.rows.values()))


def test_what_is_left_out_by_name_says_that_we_do_it(curl: Recipe) -> None:
    lines = of(curl, "mini").rules()
    assert len(lines) == 5
    assert all(line.split(":", 2)[2].startswith(LEFT_OUT) for line in lines)


def test_a_feature_is_there_where_its_option_is_known(curl: Recipe) -> None:
    for name, has in (("mini", 0), ("h2", 1)):
        assert f"('manual', 0, 'crypto', {has})" in of(curl, name).hook()
    most = of(curl, "h2")
    assert "('manual', 1," in replace(most, unknown=most.unknown - {"manual"}).hook()


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("left out: a test of libcurl", "left out: a test of libcurl"),
        ("configured as DISABLED", "left out: disabled by upstream"),
        ("curl lacks Debug support", "left out: for a build with curl's debugging inside"),
        ("curl has IPv6 support", "left out: for a curl without a feature that the variant has"),
        ("curl lacks ldap server support", "left out: for a protocol that no variant has"),
        ("curl lacks sftp server support", "left out: a feature of other variants"),
        ("curl lacks ftp-ipv6 server support", "left out: a feature of other variants"),
        ("curl lacks h2c support", "left out: a feature of other variants"),
        ("curl lacks http/3 support", "left out: a feature of other variants"),
        ("curl lacks crypto support", UNKNOWN_OPTION),
        ("curl lacks cookies support", "left out: switched off in the recipe"),
        ("curl lacks --libcurl support", "left out: switched off in the recipe"),
        ("curl lacks nghttpx support", "not run: curl lacks nghttpx support"),
        ("no stunnel", "not run: no stunnel"),
        ("failed starting HTTP server", "not run: failed starting HTTP server"),
    ],
)
def test_what_the_machine_lacks_is_not_run(curl: Recipe, reason: str, outcome: str) -> None:
    assert of(curl, "mini").outcome(reason) == outcome


@pytest.mark.parametrize("feature", ["bindlocal", "new-thing", "rtmp"])
def test_what_nobody_gives_a_reason_for_is_not_left_out(curl: Recipe, feature: str) -> None:
    for reason in (f"curl lacks {feature} support", f"curl lacks {feature} server support"):
        with pytest.raises(ValueError, match="says why"):
            of(curl, "mini").outcome(reason)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_a_recipe_promises_cannot_be_left_out(curl: Recipe, variant: str) -> None:
    rules = of(curl, variant)
    assert rules.promised
    spelt = [alias for alias, name in rules.aliases.items() if name.lower() in rules.promised]
    for name in [*rules.promised, *spelt]:
        for reason in (f"curl lacks {name} support", f"curl lacks {name}-ipv6 server support"):
            with pytest.raises(ValueError, match="promises"):
                rules.outcome(reason)


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_options_left_out_on_purpose_excuse_a_failure(curl: Recipe, variant: str) -> None:
    rules = of(curl, variant)
    unknown = unserved_options(curl, next(v for v in curl.variants if v.name == variant))
    assert unknown
    for option in unknown:
        for spelt in (f"--{option}", f"--no-{option}"):
            for line in (
                f" curl: option {spelt}: is unknown",
                f"+curl: option {spelt}: is unknown[CR][LF]",
            ):
                assert rules.refused_option(f"test 0001...[x]\n{line}\n") == spelt
    for text in (
        " curl: option --output: is unknown",
        " curl: option --never-implemented: is unknown",
        " curl: option -o: is unknown",
        f" curl: option --{unknown[0]}: requires parameter",
        f" we said: curl: option --{unknown[0]}: is unknown",
        f"-curl: option --{unknown[0]}: is unknown[CR][LF]",
    ):
        assert rules.refused_option(text) == ""


def test_a_letter_stands_for_its_option(curl: Recipe) -> None:
    mini, http = of(curl, "mini"), of(curl, "http")
    for word in ("-n", "-no1", "-x", "-b"):
        line = f" curl: option {word}: is unknown"
        assert mini.refused_option(line) == word
        assert http.refused_option(line) == ""


def test_the_suite_is_told_what_a_variant_is_built_without(curl: Recipe) -> None:
    by_name = {variant.name: left_without(variant) for variant in curl.variants}
    assert {"CURL_DISABLE_PROXY", "CURL_DISABLE_NTLM", "CURL_DISABLE_COOKIES"} <= {*by_name["mini"]}
    assert "CURL_DISABLE_PROXY" not in by_name["http"]
    assert "CURL_DISABLE_DOH" in by_name["https"]
    assert "CURL_DISABLE_DOH" not in by_name["h2"]


def test_tests_and_letters_are_read_from_the_source(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    text = "<keywords>\nHTTP\ncurl-config\n</keywords>\n"
    text += "<features>\nmanual\n!proxy\n</features>\n<server>\nftp\n</server>\n"
    (data / "test12").write_text(text)
    (data / "test3").write_text(
        "<keywords>\nunittest\n</keywords>\n<tool>\nlib%TESTNUMBER\n</tool>\n"
    )
    (data / "DISABLED").write_text("12\n")
    three, twelve = read_tests(data)
    assert three == suite_test(3, keywords="unittest", tool="lib%TESTNUMBER")
    assert twelve == suite_test(12, keywords="HTTP,curl-config", wants="manual !proxy ftp")
    (tmp_path / "src").mkdir()
    table = "  {\"netrc\",   ARG_BOOL, 'n', C_NETRC},\n  {\"alpn\",   ARG_BOOL|ARG_NO|ARG_TLS, ' ', C_ALPN},\n"
    (tmp_path / "src" / "tool_getparam.c").write_text(table)
    assert read_letters(tmp_path) == {"netrc": "n"}


@pytest.mark.parametrize("seed", [1, 2, 20261127])
def test_every_test_is_in_one_part_and_the_seed_decides_in_which(seed: int) -> None:
    numbers = range(1, 2000)
    parts = [part_of(seed, part, numbers) for part in range(PARTS)]
    assert sorted(number for part in parts for number in part) == list(numbers)
    assert all(60 < len(part) < 140 for part in parts)
    assert parts == [part_of(seed, part, numbers) for part in range(PARTS)]
    assert parts != [part_of(seed + 1, part, numbers) for part in range(PARTS)]


def test_the_cases_are_every_part_of_every_variant_and_jobs_get_some_of_each() -> None:
    cases = [variant_and_part(number) for number in range(CAMPAIGN.cases)]
    assert len(set(cases)) == len(cases) == PARTS * len(VARIANTS)
    for jobs in range(1, len(VARIANTS)):
        for job in range(jobs):
            first = cases[job : jobs * len(VARIANTS) : jobs]
            assert {variant for variant, _ in first} == set(VARIANTS)
