"""Bytes of each check, by the names that freezing gives to functions."""

from pathlib import Path

import pytest

from flow.context import ROOT
from records.attribute import Atom
from records.fill import Check, PartKind
from records.frozen import SHARED, check_sizes, claim, module_of, names_of

SOURCES = {
    "http_check": "class Reply:\n    def read(self): pass\n\ndef _check_http(): pass\n",
    "tcp_check": "async def prepare_tcp(): pass\n",
    "stream": "def read(): pass\ndef read_all(): pass\nTABLE = [1]\n",
}


def atom(name: str, size: int) -> Atom:
    return Atom(name=name, size=size, kind=PartKind.CONSTANTS)


def test_a_function_is_its_module_s_with_all_that_is_inside(tmp_path: Path) -> None:
    for name, text in SOURCES.items():
        (tmp_path / f"{name}.py").write_text(text, "utf-8")
    atoms = [
        atom("fun_data_probe_Reply", 1),
        atom("fun_data_probe_Reply_read", 2),
        atom("children_probe_Reply", 4),
        atom("proto_fun_probe__check_http", 8),
        atom("fun_data_probe__check_http__lt_listcomp_gt_2", 16),
        atom("fun_data_probe_prepare_tcp", 100),
        atom("fun_data_probe_read_all", 1000),
        atom("fun_data_probe__lt_module_gt_", 2000),
        atom("const_obj_probe_17", 10_000),
        atom("mbedtls_ssl_read", 100_000),
    ]
    sizes = check_sizes(atoms, sorted(tmp_path.glob("*.py")))
    assert sizes == (
        Check(name="tcp", size=100),
        Check(name="http", size=31),
        Check(name=SHARED, size=3000),
    )


def test_the_longest_name_counts() -> None:
    modules = names_of(SOURCES)
    assert module_of("read_all", modules) == "stream"
    assert module_of("read", modules) == "stream"
    assert module_of("Reply_read__lt_lambda_gt_", modules) == "http_check"
    assert module_of("", modules) == module_of("nothing_of_it", modules) == ""


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("fun_data_probe_Stream_send", "frozen.o"),
        ("const_obj_probe_1", "frozen.o"),
        ("const_qstr_table_data_probe", "frozen.o"),
        ("children_probe__lt_module_gt_", "frozen.o"),
        ("mp_qstr_frozen_const_pool", None),
        ("fun_data", None),
        ("my_fun_data_probe_x", None),
    ],
)
def test_only_names_of_frozen_things_are_claimed(name: str, owner: str | None) -> None:
    assert claim(name) == owner


def test_no_two_modules_of_the_probe_have_a_function_of_the_same_name() -> None:
    """What merging them relies on, and so does this."""
    sources = {path.stem: path.read_text("utf-8") for path in (ROOT / "probe").glob("*.py")}
    alone = [name for stem, text in sources.items() for name in names_of({stem: text})]
    merged = names_of({k: v for k, v in sources.items() if k not in {"system", "__init__"}})
    system = names_of({"system": sources["system"]})
    assert len(merged) == len(alone) - len(set(system))
