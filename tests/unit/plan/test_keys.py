"""Action keys: they change with everything that can change the result, and with nothing else."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

import builders.key
from builders.environment import environment
from builders.key import action_key
from builders.plan import Goal, Stage, Step, topological_order
from builders.toolchain import Toolchain
from core.target import Target
from recipes.load import HERE, load_recipes
from tests.fakes import World, fake_toolchain, small_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return small_world(tmp_path)


@pytest.fixture
def toolchain(tmp_path: Path) -> Toolchain:
    return fake_toolchain(tmp_path / "toolchain")


def keys(goals: tuple[Goal, ...], toolchain: Toolchain, **made: str) -> dict[str, str]:
    """Every step's key by its name. A step makes what its key says, or what ``made`` says of its recipe."""
    keys: dict[Step, str] = {}
    for step in topological_order(goals):
        inputs = {name: made.get(need.recipe.name, keys[need]) for name, need in step.needs}
        keys[step] = action_key(step, inputs, toolchain)
    return {step.name.replace(" linux/amd64", ""): key for step, key in keys.items()}


class Difference:
    """Which keys a change of the world changes."""

    def __init__(self, world: World, toolchain: Toolchain) -> None:
        self.world = world
        self.toolchain = toolchain
        self.before = self.now()

    def now(self) -> dict[str, str]:
        # What a step makes stands still here: only its own key is looked at.
        made = {name: hashlib.sha256(name.encode()).hexdigest() for name in self.world.load()}
        return keys(self.world.plan("hello:plain", "hello:secure"), self.toolchain, **made)

    def changed(self) -> set[str]:
        now = self.now()
        assert now.keys() == self.before.keys()
        return {name for name in now if now[name] != self.before[name]}


def test_the_same_world_has_the_same_keys(world: World, toolchain: Toolchain) -> None:
    assert Difference(world, toolchain).changed() == set()


def test_keys_of_different_steps_differ(world: World, toolchain: Toolchain) -> None:
    found = keys(world.plan("hello:plain", "hello:secure"), toolchain)
    assert len(set(found.values())) == len(found)


def test_variants_that_turn_out_the_same_are_packed_once(
    world: World, toolchain: Toolchain
) -> None:
    same = keys(world.plan("hello:plain", "hello:secure"), toolchain, hello="a" * 64)
    assert same["hello:plain 2.0 pack"] == same["hello:secure 2.0 pack"]


def test_a_switch_changes_its_own_variant_only(world: World, toolchain: Toolchain) -> None:
    difference = Difference(world, toolchain)
    world.edit("hello", 'LOUD = "OFF"', 'LOUD = "ON"')
    assert difference.changed() == {"hello:plain 2.0"}


def test_a_common_switch_changes_all_variants_but_not_the_shared_checks(
    world: World, toolchain: Toolchain
) -> None:
    difference = Difference(world, toolchain)
    world.edit("hello", 'COMMON = "1"', 'COMMON = "2"')
    assert difference.changed() == {"hello:plain 2.0", "hello:secure 2.0"}


def test_what_is_not_unpacked_changes_what_is_made_of_the_rest(
    world: World, toolchain: Toolchain
) -> None:
    difference = Difference(world, toolchain)
    world.edit("hello", "checks = true", 'checks = true\nunused = ["docs"]')
    assert difference.changed() == {"hello 2.0 checks", "hello:plain 2.0", "hello:secure 2.0"}


@pytest.mark.parametrize("name", ["build.sh", "patches/fix.patch", "config.h"])
def test_a_file_of_a_recipe_changes_its_own_steps_only(
    world: World, toolchain: Toolchain, name: str
) -> None:
    difference = Difference(world, toolchain)
    path = world.recipes / "hello" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("another one\n", "utf-8")
    assert difference.changed() == {"hello 2.0 checks", "hello:plain 2.0", "hello:secure 2.0"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('summary = "says hello"', 'summary = "shouts"'),
        ("max_size = 100_000", "max_size = 200_000"),
        ('homepage = "https://hello.invalid/"', 'homepage = "https://elsewhere.invalid/"'),
        ('stdout = "hello {version}"', 'stdout = "hello"'),
        ('licence = "MIT"', 'licence = "0BSD"'),
        ("default = true", "default = false"),
    ],
)
def test_words_that_no_step_reads_change_nothing(
    world: World, toolchain: Toolchain, old: str, new: str
) -> None:
    difference = Difference(world, toolchain)
    world.edit("hello", old, new)
    assert difference.changed() == set()


def test_the_day_of_the_release_is_in_the_key(world: World, toolchain: Toolchain) -> None:
    difference = Difference(world, toolchain)
    world.edit("tls", "date = 2026-01-01", "date = 2026-01-31")
    assert difference.changed() == {"tls 1.0"}


def test_the_bytes_of_the_source_are_in_the_key(world: World, toolchain: Toolchain) -> None:
    difference = Difference(world, toolchain)
    path = world.recipes / "tls" / "recipe.toml"
    lines = [
        f'sha256 = "{"0" * 64}"' if line.startswith("sha256") else line
        for line in path.read_text("utf-8").splitlines()
    ]
    path.write_text("\n".join(lines), "utf-8")
    assert difference.changed() == {"tls 1.0"}


def test_how_to_pack_changes_the_pack_steps_only(world: World, toolchain: Toolchain) -> None:
    difference = Difference(world, toolchain)
    world.edit("hello", 'pack = "nrv"', 'pack = "lzma"')
    assert difference.changed() == {"hello:plain 2.0 pack", "hello:secure 2.0 pack"}


def test_our_pack_script_changes_the_pack_steps_only(
    world: World, toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    difference = Difference(world, toolchain)
    script = tmp_path / "pack.sh"
    script.write_text("# another way to pack\n", "utf-8")
    monkeypatch.setattr(builders.key, "PACK_SCRIPT", script)
    assert difference.changed() == {"hello:plain 2.0 pack", "hello:secure 2.0 pack"}


@pytest.mark.parametrize("name", ["cc", "toolchain.toml"])
def test_our_scripts_around_the_toolchain_change_all_but_packing(
    world: World, toolchain: Toolchain, name: str
) -> None:
    difference = Difference(world, toolchain)
    path = toolchain.scripts / name
    path.write_text(path.read_text("utf-8") + "\n# another one\n", "utf-8")
    difference.toolchain = replace(toolchain)  # what is known of the old one is forgotten
    packs = {name for name in difference.before if name.endswith("pack")}
    assert difference.changed() == set(difference.before) - packs


def test_a_wheel_of_another_version_changes_the_toolchain(toolchain: Toolchain) -> None:
    before = toolchain.digest
    (record,) = toolchain.packages.glob("ziglang-*/RECORD")
    text = record.read_text("utf-8")
    record.write_text(text + "../../bin/zig,sha256=x,1\nziglang-1.dist-info/WHEEL,sha256=x,1\n")
    assert replace(toolchain).digest == before  # what the installer of this machine adds
    record.write_text(text.replace("abc", "abd"), "utf-8")
    assert replace(toolchain).digest != before


def test_an_input_changes_what_depends_on_it(world: World, toolchain: Toolchain) -> None:
    goals = world.plan("hello:plain", "hello:secure")
    before, after = keys(goals, toolchain), keys(goals, toolchain, tls="f" * 64)
    assert {name for name in before if before[name] != after[name]} == {
        "hello:secure 2.0",
        "hello:secure 2.0 pack",
    }


def test_a_rebuilt_input_with_the_same_bytes_changes_nothing(
    world: World, toolchain: Toolchain
) -> None:
    difference = Difference(world, toolchain)
    (world.recipes / "tls" / "build.sh").write_text("# a comment more\n", "utf-8")
    assert difference.changed() == {"tls 1.0"}


def test_the_target_is_in_the_key(world: World, toolchain: Toolchain) -> None:
    amd64 = keys(world.plan("hello:secure"), toolchain)
    arm64 = keys(world.plan("hello:secure", target=Target.ARM64), toolchain)
    tools = {"upx 1.0", "musl 1.0"}
    assert set(amd64.values()) & set(arm64.values()) == {amd64[name] for name in tools}


def test_the_release_is_in_the_key(world: World, toolchain: Toolchain) -> None:
    new = keys(world.plan("hello:plain"), toolchain)
    old = keys(world.plan("hello:plain", releases={"hello": "1.0"}), toolchain)
    assert new["hello:plain 2.0"] != old["hello:plain 1.0"]
    assert new["upx 1.0"] == old["upx 1.0"]


def test_the_order_in_which_things_are_written_does_not_matter(
    world: World, toolchain: Toolchain
) -> None:
    difference = Difference(world, toolchain)
    world.edit("hello", 'LOUD = "OFF"', 'A = "1"\nLOUD = "OFF"\nZ = "1"')
    one = difference.now()
    world.edit("hello", 'A = "1"\nLOUD = "OFF"\nZ = "1"', 'Z = "1"\nLOUD = "OFF"\nA = "1"')
    assert difference.now() == one
    (goals,) = world.plan("hello:secure")
    inputs = {name: "0" * 64 for name, _ in goals.build.needs}
    backwards = dict(reversed(inputs.items()))
    assert action_key(goals.build, inputs, toolchain) == action_key(
        goals.build, backwards, toolchain
    )


def test_where_the_recipes_lie_does_not_matter(tmp_path: Path, toolchain: Toolchain) -> None:
    here, there = small_world(tmp_path / "here"), small_world(tmp_path / "there")
    assert keys(here.plan("hello:secure"), toolchain) == keys(there.plan("hello:secure"), toolchain)


def test_the_keys_of_signers_build_nothing_again(world: World, toolchain: Toolchain) -> None:
    difference = Difference(world, toolchain)
    (world.recipes / "hello" / "upstream.asc").write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    assert difference.changed() == set()


def test_the_outliner_is_kept_off_what_it_spoils_and_nothing_else() -> None:
    toolchain = Toolchain.installed(HERE)
    assert any("machine-outliner=always" in flag for flag in toolchain.link_flags)
    recipes = load_recipes()
    for target in Target:
        step = Step(
            stage=Stage.BUILD,
            recipe=recipes["musl"],
            release=recipes["musl"].releases[0],
            variant=recipes["musl"].variants[0],
            target=target,
            needs=(),
        )
        flags = environment(step, toolchain, ())["LDFLAGS"]
        spoilt = target in {Target.ARM_V6, Target.ARM_V7, Target.I386}
        assert ("machine-outliner=never" in flags) is spoilt
        assert ("machine-outliner=always" in flags) is target.machine.outlines


PINNED = {
    "data 1.0": "2d2c4fe023e3",
    "hello 2.0 checks": "865d61ffc312",
    "hello:secure 2.0": "8ae57b9ecad9",
    "hello:secure 2.0 pack": "aa8a857169fd",  # its script passes over what lies beside a program
    "musl 1.0": "48499ec1a83a",
    "tls 1.0": "068e573a7743",
    "upx 1.0": "2d39d50dc451",
}
"""What the small world's keys begin with, as they were when steps became data."""


def test_keys_are_what_they_were(world: World, toolchain: Toolchain) -> None:
    """A cache that people have must stay good. Raise `builders.key.FORMAT` when a key is to change, and say why."""
    found = keys(world.plan("hello:secure"), toolchain)
    assert {name: key[:12] for name, key in found.items()} == PINNED
