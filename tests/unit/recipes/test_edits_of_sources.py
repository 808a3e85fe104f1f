"""What changes upstream's sources: it does so exactly, or fails when upstream has changed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from recipes.load import HERE

PATCH = HERE / "toolchain" / "patch.awk"
OPTIONS = HERE / "curl" / "options.awk"
TRIM = HERE / "probe" / "trim.awk"

SOURCE = "one\ntwo\nthree\nfour\n"
DIFF = """Why it is done.

--- a/dir/file.c
+++ b/dir/file.c
@@ -900,3 +900,3 @@ of another place
 two
-three
+3
"""


@pytest.fixture(autouse=True, params=["awk", "busybox", "gawk", "mawk"])
def _each_awk(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They agree on what POSIX says alone: a container of Debian has mawk, a machine often gawk."""
    program = shutil.which(request.param)
    if program is None:
        pytest.skip(f"{request.param} is not installed")
    directory = tmp_path_factory.mktemp("programs")
    (directory / "awk").symlink_to(program)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")


def awk(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["awk", *words[:-1], "-f", script, words[-1]],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class TestPatch:
    def patched(self, directory: Path, source: str, diff: str = DIFF) -> tuple[int, str, str]:
        """The exit code, what became of the file, and the message."""
        file = directory / "dir" / "file.c"
        file.parent.mkdir(exist_ok=True)
        file.write_text(source)
        (directory / "x.patch").write_text(diff)
        done = awk(PATCH, "-v", f"source={directory}", str(directory / "x.patch"))
        return done.returncode, file.read_text(), done.stderr

    def test_line_numbers_mean_nothing(self, tmp_path: Path) -> None:
        assert self.patched(tmp_path, SOURCE) == (0, "one\ntwo\n3\nfour\n", "")

    @pytest.mark.parametrize(
        "source", ["one\ntwo\n", "two\n three\n", SOURCE * 2, "two\n\nthree\n"]
    )
    def test_what_is_not_there_exactly_once_is_an_error(self, tmp_path: Path, source: str) -> None:
        code, text, message = self.patched(tmp_path, source)
        assert (code, text) == (1, source)
        assert "dir/file.c: these lines are" in message

    def test_a_file_that_is_gone_is_an_error(self, tmp_path: Path) -> None:
        code, _, message = self.patched(tmp_path, SOURCE, DIFF.replace("file.c", "gone.c"))
        assert code == 1
        assert "gone.c: is not there" in message

    def test_several_hunks_and_files(self, tmp_path: Path) -> None:
        (tmp_path / "other.c").write_text("a\n\nb\n")
        more = "@@ -1,1 +1,2 @@\n+zero\n one\n--- a/other.c\n+++ b/other.c\n@@ -1 +1 @@\n a\n\n-b\n"
        code, text, _ = self.patched(tmp_path, SOURCE, DIFF + more)
        assert (code, text) == (0, "zero\none\ntwo\n3\nfour\n")
        assert (tmp_path / "other.c").read_text() == "a\n\n"

    def test_several_patches(self, tmp_path: Path) -> None:
        (tmp_path / "file.c").write_text(SOURCE)
        for name, old, new in (("1", "one", "1"), ("2", "two", "2")):
            text = f"Why.\n\n--- a/file.c\n+++ b/file.c\n@@ -1 +1 @@\n-{old}\n+{new}\n"
            (tmp_path / name).write_text(text)
        words = ("-v", f"source={tmp_path}", "-f", str(PATCH), str(tmp_path / "1"))
        done = subprocess.run(
            ["awk", *words, str(tmp_path / "2")],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "file.c").read_text() == "1\n2\nthree\nfour\n"

    @pytest.mark.parametrize("path", sorted(HERE.glob("*/**/*.patch")), ids=lambda path: path.stem)
    def test_ours_say_why_and_change_something(self, path: Path) -> None:
        words, _, rest = path.read_text("utf-8").partition("--- a/")
        assert len(words.split()) > 5
        assert any(line.startswith("+") for line in rest.splitlines())
        assert all(line[:1] in {" ", "+", "-", "@"} for line in rest.splitlines()[1:])


TABLE = """static const struct LongShort aliases[]= {
  {"alpha",                      ARG_BOOL, 'a', C_ALPHA},
  {"beta",                       ARG_STRG|ARG_TLS, ' ',
   C_BETA},
  {"gamma",                      ARG_NONE|ARG_DEPR, ' ', C_GAMMA},
};
  switch(cmd) {
  case C_ALPHA: /* --alpha */
    return 1;
  case C_BETA: /* --beta */
    return 2;
  }
"""
HELP = """const struct helptxt helptext[] = {
  { "-a, --alpha",
    "First",
    CURLHELP_HTTP |
    CURLHELP_TLS },
  { "    --beta <word>",
    "Second",
    CURLHELP_TLS },
  { NULL, NULL, 0 }
};
"""


class TestOptions:
    def run(self, directory: Path, options: str, switches: str = "") -> tuple[int, str, str, str]:
        """The exit code, the table, the help, the message."""
        source = directory / "src"
        source.mkdir()
        (source / "tool_getparam.c").write_text(TABLE)
        (source / "tool_listhelp.c").write_text(HELP)
        (directory / "options.txt").write_text(options)
        words = ("-v", f"source={directory}", "-v", f"switches={switches}")
        done = awk(OPTIONS, *words, str(directory / "options.txt"))
        table, helped = (
            (source / name).read_text() for name in ("tool_getparam.c", "tool_listhelp.c")
        )
        return done.returncode, table, helped, done.stderr

    def test_row_code_and_help_go(self, tmp_path: Path) -> None:
        code, table, helped, _ = self.run(tmp_path, "# why\n\nalways beta gamma\n")
        assert code == 0
        row = "  {\"beta\",                       ARG_STRG|ARG_TLS, ' ',\n   C_BETA},\n"
        gamma = "  {\"gamma\",                      ARG_NONE|ARG_DEPR, ' ', C_GAMMA},\n"
        expected = TABLE.replace(row, "").replace(gamma, "")
        assert table == expected.replace("  case C_BETA: /*", "   /*")
        assert helped == HELP[: HELP.index('  { "    --beta')] + "  { NULL, NULL, 0 }\n};\n"

    @pytest.mark.parametrize(
        ("condition", "switches", "gone"),
        [
            ("A=ON", "-DA=ON", True),
            ("A=ON", "-DA=OFF", False),
            ("A=ON", "", False),
            ("A!=ON", "", True),
            ("A!=ON", "-DA=ON", False),
            ("A=ON&B!=ON", "-DA=ON", True),
            ("A=ON&B!=ON", "-DA=ON -DB=ON", False),
            ("V!=8.14.1", "-DV=8.14.1", False),
        ],
    )
    def test_conditions(self, tmp_path: Path, condition: str, switches: str, gone: bool) -> None:
        options = f"always beta\n{condition} alpha\n"
        code, table, helped, _ = self.run(tmp_path, options, switches)
        assert ("-a, --alpha" in helped) is not gone
        assert code == 0
        assert ("C_ALPHA" not in table) == gone

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ("always beta delta\n", "the tool has no option delta"),
            ("always beta beta\n", "beta is there twice"),
            ("sometimes beta\n", "what is 'sometimes'?"),
            ("always gamma\n", "the tool's help has another form"),
        ],
    )
    def test_mistakes(self, tmp_path: Path, options: str, message: str) -> None:
        code, _, _, said = self.run(tmp_path, options)
        assert code == 1
        assert message in said


ROWS = """
static const mp_rom_map_elem_t table[] = {
    { MP_ROM_QSTR(MP_QSTR_NAME), MP_ROM_PTR(&function) },
    { MP_ROM_QSTR(MP_QSTR_other), MP_ROM_PTR(&other) },
};
"""


class TestTrim:
    """Which rows of the interpreter's tables stay, by who asks for them."""

    def trimmed(self, directory: Path, program: str, *sources: str) -> tuple[int, list[str], str]:
        """The exit code, what became of the sources, and the message."""
        (directory / "frozen.c").write_text(program)
        files = [directory / f"{number}.c" for number in range(len(sources))]
        for file, text in zip(files, sources, strict=True):
            file.write_text(text)
        out = directory / "out"
        out.mkdir(exist_ok=True)
        names = [str(file) for file in files]
        words = ["-v", f"out={out}", "-f", str(TRIM), str(directory / "frozen.c")]
        done = subprocess.run(
            ["awk", *words, "pass=1", *names, "pass=2", *names],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        made = [out / file.name for file in files]
        return done.returncode, [file.read_text() for file in made if file.exists()], done.stderr

    @pytest.mark.parametrize(
        ("program", "source"),
        [
            ("MP_QSTR_wanted, MP_QSTR_other,", ""),
            ("MP_QSTR_x, MP_QSTR_other, MP_QSTR_wanted", ""),
            ("MP_QSTR_other", "mp_load_method(object, MP_QSTR_wanted, to);\n"),
            ("", "a(MP_QSTR_other); if (b == MP_QSTR_wanted) {\n"),
            ("MP_QSTR_other", "    { MP_ROM_QSTR(MP_QSTR_x), MP_ROM_QSTR(MP_QSTR_wanted) },\n"),
        ],
    )
    def test_what_the_program_or_c_names_stays(
        self, tmp_path: Path, program: str, source: str
    ) -> None:
        rows = ROWS.replace("NAME", "wanted")
        assert self.trimmed(tmp_path, program, rows, source) == (
            0,
            [rows, *[source] * bool(source)],
            "",
        )

    @pytest.mark.parametrize("name", ["unwanted", "__unwanted__", "want", "wanted_2"])
    @pytest.mark.parametrize(
        "heading",
        [
            "",
            "MP_DEFINE_CONST_OBJ_TYPE(\n    mp_type_it,\n    MP_QSTR_NAME,\n    MP_TYPE_FLAG_NONE,\n",
        ],
    )
    def test_what_nothing_names_goes_and_the_rows_are_as_many(
        self, tmp_path: Path, name: str, heading: str
    ) -> None:
        source = (ROWS + heading).replace("NAME", name)
        code, (text,), _ = self.trimmed(tmp_path, "MP_QSTR_wanted MP_QSTR_other", source)
        assert code == 0
        assert "&function" not in text
        assert "&other" in text
        assert text.count("\n") == source.count("\n")
        assert text.count("MP_ROM_QSTR(") == 2

    def test_behind_a_heading_names_count_again(self, tmp_path: Path) -> None:
        heading = "MP_DEFINE_CONST_OBJ_TYPE(\n    mp_type_it,\n    MP_QSTR_it,\n    MP_QSTR_NAME,\n"
        source = (ROWS + heading).replace("NAME", "wanted")
        assert self.trimmed(tmp_path, "MP_QSTR_other", source) == (0, [source], "")

    @pytest.mark.parametrize("name", ["getattr", "setattr"])
    def test_a_program_that_makes_names_is_an_error(self, tmp_path: Path, name: str) -> None:
        code, made, message = self.trimmed(tmp_path, f"MP_QSTR_{name}", ROWS)
        assert (code, made) == (1, [])
        assert "make names while it runs" in message
