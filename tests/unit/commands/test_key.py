"""Where keys come from: a file, standard input, the setting itself; and what is said of one that is not there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from commands.key import manage_keys, public_keys, secret_key
from core.errors import PublishError, UsageError
from core.minisign import looks_secret
from core.progress import Report
from core.settings import SETTINGS, Settings
from core.signing import SecretKey, new_key
from flow.context import ROOT, Context


@pytest.fixture
def pair(tmp_path: Path) -> SecretKey:
    return new_key(tmp_path / "my.key", tmp_path / "my.key.pub")


def context(**flags: str | Path) -> Context:
    words = {name: str(value) for name, value in flags.items()}
    return Context(settings=Settings.read(words, environment={}), report=Report())


def test_the_setting_may_be_the_key_itself(pair: SecretKey, tmp_path: Path) -> None:
    text = (tmp_path / "my.key").read_text()
    for form in (text, text.splitlines()[1], f"  {text.splitlines()[1]}\n"):
        key = secret_key(context(key=form))
        assert key == pair
        assert manage_keys(context(key=form), ["show"]) == [pair.public.line]


def test_what_was_meant_to_be_a_key_is_never_quoted(pair: SecretKey, tmp_path: Path) -> None:
    import base64  # noqa: PLC0415

    text = (tmp_path / "my.key").read_text()
    line = text.splitlines()[1]
    whole = base64.b64encode(text.encode()).decode()
    for form in (line[:-8], f'"{line}"', f"{line}{line}", text + "more\n", whole):
        with pytest.raises(PublishError) as refused:
            secret_key(context(key=form))
        assert line[40:80] not in str(refused.value)
        assert whole[40:80] not in str(refused.value)
        assert "the setting 'key'" in str(refused.value)
        with pytest.raises(UsageError):
            manage_keys(context(key=form), ["new"])
        shown = next(one for one in SETTINGS if one.name == "key")
        assert shown.redacted(form) == "set"


def test_names_of_files_are_no_keys(pair: SecretKey, tmp_path: Path) -> None:
    for name in ("-", "key", str(tmp_path / "my.key"), "/a" * 200, pair.public.line):
        assert not looks_secret(name)


SCRIPT = """
import sys
from commands.key import secret_key
from core.errors import PublishError
from core.progress import Report
from core.settings import SETTINGS, Settings
from flow.context import Context
context = Context(settings=Settings.read({"key": "-"}, environment={}), report=Report())
try:
    print(secret_key(context).public.line)
except PublishError as error:
    print(error.what)
"""


def said(data: bytes) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        input=data,
        capture_output=True,
        timeout=120,
        check=True,
    )
    return done.stdout.decode().strip()


def test_a_dash_is_standard_input_whatever_its_file_s_mode(pair: SecretKey, tmp_path: Path) -> None:
    data = (tmp_path / "my.key").read_bytes()
    assert said(data) == pair.public.line
    for wrong in (b"", b"\xff\xfe", b"x" * 100_000, data[:100]):
        assert said(wrong) == "standard input: This is not a minisign secret key."


def test_a_key_file_that_everybody_may_read_is_refused_still(
    pair: SecretKey, tmp_path: Path
) -> None:
    assert pair.public.line
    (tmp_path / "my.key").chmod(0o666)
    with pytest.raises(PublishError, match="others may use it"):
        secret_key(context(key=tmp_path / "my.key"))


def test_show_works_from_either_half_alone(pair: SecretKey, tmp_path: Path) -> None:
    secret, public = tmp_path / "my.key", tmp_path / "my.key.pub"
    line = [pair.public.line]
    assert manage_keys(context(key=secret), ["show"]) == line
    text = public.read_text()
    public.unlink()
    assert manage_keys(context(key=secret), ["show"]) == line
    assert manage_keys(context(), ["show", str(secret)]) == line
    public.write_text(text)
    secret.unlink()
    assert manage_keys(context(key=secret), ["show"]) == line
    public.unlink()
    with pytest.raises(PublishError, match="cannot be read"):
        manage_keys(context(key=secret), ["show"])


def test_public_keys_are_files_or_lines_several_with_commas(tmp_path: Path) -> None:
    keys = [new_key(tmp_path / f"{n}.key", tmp_path / f"{n}.key.pub").public for n in range(3)]
    words = f"{tmp_path}/0.key.pub, {keys[1].line},{tmp_path}/2.key.pub,{keys[0].line}"
    assert public_keys(context(public_key=words)) == tuple(keys)
    odd = tmp_path / "a,b.pub"
    keys[0].write(odd)
    assert public_keys(context(public_key=odd)) == (keys[0],)
    assert public_keys(context()) == ()


@pytest.mark.parametrize("name", ["minisign.pub", "RWnothing", "~/nowhere.pub"])
def test_a_missing_file_is_called_missing(name: str) -> None:
    with pytest.raises(PublishError, match="does not exist") as refused:
        public_keys(context(public_key=name))
    assert name.rpartition("/")[2] in refused.value.what


def test_what_is_no_key_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello\n")
    for word in (str(tmp_path / "file"), "RW" + "A" * 54):
        with pytest.raises(PublishError):
            public_keys(context(public_key=word))


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_paths_of_the_pages_are_those_that_key_new_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    manage_keys(context(), ["new"])
    found = []
    for page in PAGES:
        for block in re.findall(r"(?ms)^```(?:sh|console)\n(.*?)^```", page.read_text("utf-8")):
            found += re.findall(r"(?:inv verify .*--key|minisign -V.* -p) ([^\s#,]+)", block)
    assert len(found) >= 4
    for name in found:
        keys = public_keys(context(public_key=name))
        assert [key.line for key in keys] == manage_keys(context(), ["show"]), name
