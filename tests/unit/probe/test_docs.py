"""docs/probe.md says what the option tables say, and its examples are free of bad usage."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from probe.amqp_check import AMQP_PORT
from probe.checks import CHECKS
from probe.command import MOST_CHECKS, parse_command
from probe.http import LONGEST_HEAD, MOST_FIELDS
from probe.kafka_check import KAFKA_PORT
from probe.memcached_check import MEMCACHED_PORT
from probe.mongodb_check import MONGODB_PORT
from probe.mqtt_check import MQTT_PORT
from probe.mysql_check import MYSQL_PORT
from probe.options import COMMON_OPTIONS, LARGEST_BODY
from probe.postgres_check import POSTGRES_PORT
from probe.redis_check import REDIS_PORT
from probe.report import MOST_OUTPUT_BYTES
from probe.smtp_check import SMTP_PORT
from probe.usage import value_word
from recipes.load import load_recipes

PAGE = (Path(__file__).parents[3] / "docs" / "probe.md").read_text("utf-8")
OPTIONS = {check.name: check.options for check in CHECKS} | {"": COMMON_OPTIONS}
HEAD = ["| option | what | default |", "|---|---|---|"]


def option_rows(check: str) -> list[str]:
    """The table of a check's options; '': of the options of all checks."""
    rows = []
    for name, kind, default, purpose in OPTIONS[check]:
        word = value_word(kind)
        option = f"`--{name}`" if kind == "flag" else f"`--{name} {word}`"
        text, semicolon, escapes = purpose.partition("; \\")
        if semicolon:
            text += f"; `\\{escapes}`"
        rows.append(f"| {option} | {text} | {f'`{default}`' if default else ''} |")
    return HEAD + rows


def section(title: str) -> str:
    """What stands below a heading, up to the next one."""
    found = re.search(rf"(?ms)^##+ {re.escape(title)}$\n(.*?)(?=^##|\Z)", PAGE)
    assert found, f"docs/probe.md has no section '{title}'"
    return found[1]


@pytest.mark.parametrize("check", OPTIONS)
def test_every_option_of_every_check(check: str) -> None:
    text = section(check or "All checks")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert table[: len(option_rows(check))] == option_rows(check)
    assert len(table) == len(option_rows(check))


def test_every_check_and_no_other() -> None:
    checks = section("Checks")
    rows = dict(re.findall(r"(?m)^\| \[`([a-z]+)`\]\(#[a-z]+\) \| (.*?) \| .*? \|$", checks))
    assert rows == {check.name: check.purpose for check in CHECKS}
    assert re.findall(r"(?m)^### ([a-z]+)$", PAGE) == [check.name for check in CHECKS]


def test_no_option_that_does_not_exist() -> None:
    own = set(re.findall(r"`--([a-z-]+)[ `=]", PAGE))
    assert own - {row[0] for rows in OPTIONS.values() for row in rows} <= {
        *("X-env", "password-env", "url-env", "port-env", "format", "and", "help", "version"),
    }


def test_the_limits() -> None:
    text = section("Limits")
    ports = section("Checks")
    for number in (LONGEST_HEAD, MOST_FIELDS, LARGEST_BODY, MOST_CHECKS, MOST_OUTPUT_BYTES):
        assert f"{number:,}" in text
    for port in (
        *(REDIS_PORT, POSTGRES_PORT, MYSQL_PORT, MEMCACHED_PORT, AMQP_PORT),
        *(MQTT_PORT, KAFKA_PORT, MONGODB_PORT, SMTP_PORT),
    ):
        assert str(port) in ports


# --- the examples ----------------------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    found = re.findall(rf"(?ms)^```{language}\n(.*?)^```$", PAGE)
    assert found, language
    return found


def parse(words: list[str], environment: dict[str, str] | None = None) -> None:
    """Raises Usage for what the probe would refuse."""
    environ = {name.encode(): value.encode() for name, value in (environment or {}).items()}
    for options in parse_command([word.encode() for word in words], environ):
        options.check.prepare(options)


def exec_form(text: str) -> list[str]:
    """A JSON list whose first word is the probe; returns the others."""
    words: list[str] = json.loads(text)
    assert words[0] == "/probe"
    return words[1:]


def test_command_lines() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    found = 0
    for line in lines:
        words = shlex.split(line, comments=True)
        environment: dict[str, str] = {}
        while words and re.match(r"[A-Z_]+=", words[0]):
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        if words[:1] == ["probe"]:
            parse(words[1:], environment)
            found += 1
        else:
            assert not words or words[0] in {"./inv", "podman", "docker"}, line
    assert found >= len(CHECKS)


def test_dockerfiles() -> None:
    recipe = load_recipes()["probe"]
    files = {f"artifacts/files/probe-full-{recipe.releases[0].version}-linux-amd64"}
    for block in blocks("dockerfile"):
        lines = block.replace("\\\n", " ").splitlines()
        assert lines[0] == "FROM scratch"
        for line in lines:
            instruction, _, rest = line.partition(" ")
            assert instruction in {"FROM", "COPY", "ENV", "HEALTHCHECK", "ENTRYPOINT", "USER"}
            if instruction == "COPY" and rest.endswith(" /probe"):
                assert rest.split()[0] in files
            elif instruction == "HEALTHCHECK":
                flags, _, command = rest.partition(" CMD ")
                assert all(re.fullmatch(r"--[a-z-]+=\d+m?s?", flag) for flag in flags.split())
                parse(exec_form(command), {"HEALTH_PORT": "8080"})
        assert sum(line.startswith("HEALTHCHECK") for line in lines) == 1


def test_yaml() -> None:
    """Compose and Kubernetes: no parser for YAML is at hand, so its shape is looked at line by line."""
    kinds = set()
    for block in blocks("yaml"):
        for line in block.splitlines():
            indent = len(line) - len(line.lstrip(" "))
            assert indent % 2 == 0
            assert "\t" not in line
            item = line.strip().removeprefix("- ")
            key, colon, value = item.partition(":")
            assert colon, line
            assert re.fullmatch(r"[A-Za-z_]+", key), line
            assert not value or value.startswith(" "), line
            if value.strip().startswith("["):
                words = json.loads(value)
                if key == "test":
                    assert words.pop(0) == "CMD"
                assert words[0] == "/probe"
                parse(words[1:])
                kinds.add(key)
    assert kinds == {"test", "command"}
