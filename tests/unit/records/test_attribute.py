"""Whose each byte is: the numbers add up, whatever the program; a map that is not its own is refused."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from records.attribute import Nobody, attribute
from records.fill import Fill, PartKind, read_fill, write_fill
from records.link_map import LinkMapError, read_link_map
from records.owners import read_owners
from tests.unit.records.tiny import HEAD, MODULES, NEEDS, OPTIMISED, OWN, Piece, Tiny, tiny

SEEDS = range(40)


def filled(
    made: Tiny, directory: Path, *, link_map: str | None = None, owners: str | None = None
) -> Fill:
    program = made.write(directory)
    fill, atoms = attribute(
        program,
        (made.link_map() if link_map is None else link_map).encode(),
        (made.owners_list() if owners is None else owners).encode(),
        file=program.name,
        own=OWN,
        needs=NEEDS,
    )
    assert sum(atom.size for atom in atoms) == program.stat().st_size
    return fill


def whole(fill: Fill) -> int:
    """All bytes that it speaks of, by its smallest things."""
    named = sum(
        sum(part.size for part in one.parts) + one.more.size
        for library in fill.libraries
        for one in library.objects
    )
    return named + sum(one.size for one in fill.unowned)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_numbers_add_up_to_the_size_of_the_file(tmp_path: Path, seed: int) -> None:
    made = tiny(seed)
    fill = filled(made, tmp_path)
    assert whole(fill) == fill.size == (tmp_path / fill.file).stat().st_size
    write_fill(tmp_path, fill)
    assert read_fill(tmp_path, fill.file, fill.sha256) == fill
    nobodys = {one.name: one.size for one in fill.unowned}
    constants = next(section for section in made.sections if section.name == ".rodata").pieces
    assert nobodys[Nobody.STRINGS] == constants[0].size
    assert nobodys[Nobody.NUMBERS] == constants[1].size
    assert nobodys[Nobody.TABLES] == 24 + 60
    assert nobodys[Nobody.HEADERS] == 64 + 56 + 64 * 7


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_given_to_whom_it_is_not(tmp_path: Path, seed: int) -> None:
    """Every part is of the module that its name says; of statics between two libraries nobody knows."""
    made = tiny(seed)
    fill = filled(made, tmp_path)
    modules = [module.rpartition("/")[2] for module in MODULES]
    seen = 0
    for library in fill.libraries:
        for one in library.objects:
            for part in one.parts:
                if "plain" in part.name:
                    assert library.recipe == "musl"
                    assert not part.guessed
                    continue
                number = int(part.name.split("_")[1])
                of = modules[number]
                place = f"{library.name}({one.name})" if "(" in of else one.name
                if one.name.startswith("("):
                    assert library.name == of.partition("(")[0]
                    assert part.guessed
                else:
                    assert place == of
                assert part.guessed is (part.name not in made.owners)
                seen += 1
    assert seen > 10
    recipes = {library.name: library.recipe for library in fill.libraries}
    assert recipes == {
        "app": "",
        "libapp.a": "",
        "libtls.a": "tls",
        "libc.a": "musl",
        "musl": "musl",
    }


def test_code_constants_and_data_are_told_apart(tmp_path: Path) -> None:
    fill = filled(tiny(1), tmp_path)
    parts = [part for lib in fill.libraries for one in lib.objects for part in one.parts]
    kinds = {"text": PartKind.CODE, "rodata": PartKind.CONSTANTS, "data": PartKind.DATA}
    assert {part.kind for part in parts} == set(PartKind)
    assert all(part.kind is kinds[part.name.split("_")[0]] for part in parts)


@pytest.mark.parametrize("seed", range(12))
def test_a_map_that_is_cut_off_is_refused_wherever(tmp_path: Path, seed: int) -> None:
    made = tiny(seed)
    made.write(tmp_path)
    said = made.link_map()
    chance = random.Random(seed)
    ends = [0, 1, len(HEAD) - 1, len(HEAD), len(said) - 1]
    ends += [chance.randrange(len(said)) for _ in range(60)]
    # At the end of a line, too: nothing in the last line says that others should follow.
    ends += [number + 1 for number, char in enumerate(said[:-1]) if char == "\n"]
    for end in ends:
        with pytest.raises(LinkMapError):
            filled(made, tmp_path, link_map=said[:end])


@pytest.mark.parametrize("seed", range(12))
def test_a_map_that_lies_is_refused_or_adds_up_all_the_same(tmp_path: Path, seed: int) -> None:
    """A number changed, a line left out, doubled or moved."""
    made = tiny(seed)
    made.write(tmp_path)
    lines = made.link_map().splitlines(keepends=True)
    chance, refused = random.Random(seed), 0
    for _ in range(120):
        spoilt = list(lines)
        at = chance.randrange(1, len(lines))
        match chance.randrange(4):
            case 0:
                digits = [n for n, char in enumerate(spoilt[at][:40]) if char in "0123456789abcdef"]
                number = chance.choice(digits)
                spoilt[at] = spoilt[at][:number] + chance.choice("0f9") + spoilt[at][number + 1 :]
            case 1:
                del spoilt[at]
            case 2:
                spoilt.insert(at, spoilt[at])
            case _:
                spoilt.insert(chance.randrange(1, len(lines)), spoilt.pop(at))
        try:
            fill = filled(made, tmp_path, link_map="".join(spoilt))
        except LinkMapError:
            refused += 1
        else:
            assert whole(fill) == fill.size
    assert refused > 40


def test_the_map_of_another_link_is_refused(tmp_path: Path) -> None:
    made, other = tiny(1), tiny(2)
    other.program()
    with pytest.raises(LinkMapError, match="of another link"):
        filled(made, tmp_path, link_map=other.link_map())


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", "cut off"),
        ("not a map\n", "does not begin"),
        (HEAD + "what is this\n", "line 2 is none of a map"),
        (HEAD + f"{1:>16x} {1:>16x} {1:>8x} {1:>5}         a.o:(.text)\n", "belongs to nothing"),
        (HEAD + f"{1:>16x} {1:>16x} {1:>8x} {1:>5} {'f' * 17:>33}\n", "line 2"),
        (HEAD + "\n", "line 2 is none of a map: ''"),
        (HEAD + "\x1b[2J\n", r"line 2 is none of a map: '\\x1b"),
    ],
)
def test_what_is_no_map_is_refused_with_its_line(said: str, reason: str) -> None:
    with pytest.raises(LinkMapError, match=reason):
        read_link_map(said.encode())


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("-r=a.o,f,pl", "cut off"),
        ("-r=a.o,f,l\n", "line 1"),
        ("-r=,f,pl\n", "line 1"),
        ("a.o,f,pl\n", "line 1"),
        ("-r=a.o,f,pl\n-r=b.o,f,pl\n", "line 2 of the list of owners names a second owner of 'f'"),
        (f"-r={'a' * 5000},f,pl\n", "line 1"),
    ],
)
def test_what_is_no_list_of_owners_is_refused_with_its_line(said: str, reason: str) -> None:
    with pytest.raises(LinkMapError, match=reason):
        read_owners(said.encode())


def test_a_list_of_owners_may_be_empty_or_say_where_in_an_archive() -> None:
    assert read_owners(b"") == {}
    said = b"-r=lib/liba.a(b.o at 1234),f,plx\n-r=odd,name.o,g,p\n"
    assert read_owners(said) == {"f": "lib/liba.a(b.o)", "g": "odd,name.o"}


def test_without_a_list_of_owners_optimised_code_is_nobody_s(tmp_path: Path) -> None:
    made = tiny(3)
    program = made.write(tmp_path)
    fill, _ = attribute(
        program, made.link_map().encode(), None, file=program.name, own=OWN, needs=NEEDS
    )
    assert whole(fill) == fill.size
    assert {library.recipe for library in fill.libraries} == {"musl"}
    expected = sum(
        piece.size
        for section in made.sections
        if section.name != ".bss"
        for piece in section.pieces
        if piece.object == OPTIMISED
    )
    assert {one.name: one.size for one in fill.unowned}[Nobody.OPTIMISED] == expected


def test_a_static_of_a_function_is_that_of_who_has_the_function(tmp_path: Path) -> None:
    made = tiny(4)
    text = next(section for section in made.sections if section.name == ".text")
    function, module = next((n, m) for n, m in made.owners.items() if n.startswith("text"))
    for name in (f"{function}.table", f"switch.table.{function}"):
        # Behind the last owner, where no neighbour tells anything.
        text.pieces.append(Piece(OPTIMISED, f".text.{name}", 64, 1, [(name, 0, 64)]))
    text.pieces.append(Piece(OPTIMISED, ".text.x", 65, 1, [(f"{function}.12", 0, 65)]))
    fill = filled(made, tmp_path)
    owned = {
        part.name: (one.name, part.guessed)
        for library in fill.libraries
        for one in library.objects
        for part in one.parts
    }
    where = module.rpartition("/")[2].rpartition("(")[2].rstrip(")")
    assert owned[f"{function}.table"] == owned[f"switch.table.{function}"] == (where, True)
    assert f"{function}.12" not in owned  # another one of that name, in another object


def test_what_the_compiler_put_together_is_nobody_s_but_for_what_has_a_name(tmp_path: Path) -> None:
    made = tiny(8)
    data = next(section for section in made.sections if section.name == ".data")
    made.owners["data_known"] = MODULES[4]
    merged = [("data_known", 10, 40)]
    # Between two of the same module, who could own it all otherwise.
    data.pieces += [
        Piece(OPTIMISED, ".data.data_known_1", 1, 1, [("data_known_1", 0, 1)]),
        Piece(OPTIMISED, ".data..L_MergedGlobals.12", 100, 1, merged),
        Piece(OPTIMISED, ".data.data_last", 1, 1, [("data_last", 0, 1)]),
    ]
    made.owners |= {"data_known_1": MODULES[4], "data_last": MODULES[4]}
    fill = filled(made, tmp_path)
    assert {one.name: one.size for one in fill.unowned}[Nobody.MERGED] == 60
    parts = {part.name: part for lib in fill.libraries for one in lib.objects for part in one.parts}
    assert parts["data_known"].size == 40


def test_of_two_names_of_a_function_that_with_an_owner_counts(tmp_path: Path) -> None:
    made = tiny(5)
    text = next(section for section in made.sections if section.name == ".text")
    made.owners["zz_known"] = MODULES[0]
    symbols = [("aa_alias", 0, 50), ("zz_known", 0, 50)]
    text.pieces.append(Piece(OPTIMISED, ".text.aa_alias", 50, 1, symbols))
    fill = filled(made, tmp_path)
    names = {part.name for lib in fill.libraries for one in lib.objects for part in one.parts}
    assert "zz_known" in names
    assert "aa_alias" not in names


def test_a_symbol_outside_of_its_piece_is_refused(tmp_path: Path) -> None:
    made = tiny(6)
    piece = made.sections[2].pieces[0]
    made.sections[2].pieces[0] = replace(piece, symbols=[("wide", 0, piece.size + 1)])
    with pytest.raises(LinkMapError, match="symbol 'wide' lies outside"):
        filled(made, tmp_path)


def test_names_that_mean_harm_are_names(tmp_path: Path) -> None:
    made = tiny(7)
    name = "</script><b>\"'"
    made.owners[name] = MODULES[0]
    piece = Piece(OPTIMISED, f".text.{name}", 100, 1, [(name, 0, 100)])
    made.sections[2].pieces.append(piece)
    fill = filled(made, tmp_path)
    names = {part.name for lib in fill.libraries for one in lib.objects for part in one.parts}
    assert name in names
