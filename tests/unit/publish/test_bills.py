"""Bills of materials: the minimum that NTIA asks for, names that scanners know, and what is said not to matter."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from packageurl import PackageURL

from core.errors import PublishError
from publish.trust.components import Role, component_of, debian_package
from publish.trust.sbom import read_sbom
from publish.trust.spdx import licence_name, read_spdx, spdx_described
from recipes.load import load_recipes
from recipes.model import RecipeKind
from tests.unit.publish.releases import Bench

FILE = "hello-secure-2.0-linux-amd64.upx"
RECIPES = load_recipes()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench.make(tmp_path_factory.mktemp("bench"))
    bench.world.edit(
        "tls",
        'chosen = "Apache-2.0"',
        'chosen = "Apache-2.0"\nsupplier = "The TLS project"\ncpe = "cpe:2.3:a:tls:tls:{version}:*:*:*:*:*:*:*"\n'
        'also_cpe = ["cpe:2.3:a:old:tls:{version}:*:*:*:*:*:*:*"]\n'
        '[[bill.unaffected]]\nid = "CVE-2026-0001"\nwhy = "code_not_present"\ndetail = "left out"\n'
        '[[bill.unaffected]]\nid = "CVE-2026-0002"\nwhy = "code_not_present"\ndetail = "there"\n'
        'products = ["other:one"]',
    )
    bench.write(images=(bench.image(),))
    return bench


def cdx(bench: Bench) -> dict[str, Any]:
    return read_sbom((bench.release / f"{FILE}.cdx.json").read_bytes())


def spdx(bench: Bench) -> dict[str, Any]:
    return read_spdx((bench.release / f"{FILE}.spdx.json").read_bytes())


def test_the_minimum_elements(bench: Bench) -> None:
    """https://www.ntia.gov/report/2021/minimum-elements-software-bill-materials-sbom: seven of them."""
    bill = cdx(bench)
    metadata = bill["metadata"]
    assert metadata["authors"] == [{"name": "fromscratch"}]
    assert metadata["timestamp"]
    root = metadata["component"]
    assert (root["supplier"]["name"], root["name"], root["version"]) == ("fromscratch", FILE, "2.0")
    purl = PackageURL.from_string(root["purl"])
    assert (purl.namespace, purl.name, purl.version) == ("fromscratch", "hello-secure", "2.0")
    assert purl.qualifiers["checksum"] == f"sha256:{root['hashes'][0]['content']}"
    for component in bill["components"]:
        assert component["name"]
        assert component["version"]
        assert component["purl"] or component["cpe"]
    refs = {component["bom-ref"] for component in bill["components"]} | {root["bom-ref"]}
    assert {dependency["ref"] for dependency in bill["dependencies"]} >= refs


def test_every_recipe_names_its_supplier_and_what_scanners_call_it() -> None:
    for recipe in RECIPES.values():
        part = component_of(recipe, recipe.releases[0], Role.LIBRARY)
        assert part.supplier, recipe.name
        assert PackageURL.from_string(part.purl).version
        assert all(f":{part.version}:" in cpe for cpe in part.cpes)
        assert all(bundled.supplier for bundled in recipe.bill.carries)
        if recipe.kind is RecipeKind.LIBRARY and recipe.name != "cacert" and part.cpes:
            assert debian_package(recipe) or part.purl.startswith(("pkg:github/", "pkg:pypi/"))


def test_names_of_nvd_and_of_git() -> None:
    part = component_of(RECIPES["curl"], RECIPES["curl"].releases[0], Role.PROGRAM)
    assert [cpe.split(":")[3:5] for cpe in part.cpes] == [["haxx", "curl"], ["haxx", "libcurl"]]
    tag = "curl-" + part.version.replace(".", "_")
    assert part.purl == f"pkg:github/curl/curl@{tag}"
    assert part.origin == f"pkg:deb/debian/curl@{part.version}?arch=source"
    tls = component_of(RECIPES["mbedtls"], RECIPES["mbedtls"].releases[0], Role.LIBRARY)
    assert {cpe.split(":")[3] for cpe in tls.cpes} == {"arm", "trustedfirmware"}


def test_other_names_and_the_origin(bench: Bench) -> None:
    (tls,) = (part for part in cdx(bench)["components"] if part["name"] == "tls")
    assert tls["supplier"] == {"name": "The TLS project"}
    assert tls["cpe"] == "cpe:2.3:a:tls:tls:1.0:*:*:*:*:*:*:*"
    other = {"name": "syft:cpe23", "value": "cpe:2.3:a:old:tls:1.0:*:*:*:*:*:*:*"}
    assert other in tls["properties"]


def test_what_does_not_concern_a_file_is_said_with_the_reason(bench: Bench) -> None:
    (entry,) = cdx(bench)["vulnerabilities"]
    assert entry["id"] == "CVE-2026-0001"
    assert entry["analysis"] == {
        "state": "not_affected",
        "justification": "code_not_present",
        "detail": "left out",
    }
    assert entry["affects"] == [{"ref": "tls-1.0"}]


def test_spdx_says_the_same(bench: Bench) -> None:
    bill, document = cdx(bench), spdx(bench)
    assert spdx_described(document) == bill["metadata"]["component"]["hashes"][0]["content"]
    packages = {package["name"]: package for package in document["packages"]}
    assert set(packages) == {FILE, *(part["name"] for part in bill["components"])}
    for part in bill["components"]:
        package = packages[part["name"]]
        names = [it["referenceLocator"] for it in package["externalRefs"]]
        assert part["purl"] in names
        assert package["versionInfo"] == part["version"]
    tls = packages["tls"]
    kinds = [it["referenceType"] for it in tls["externalRefs"]]
    assert kinds == ["cpe23Type", "cpe23Type", "purl"]
    assert (tls["licenseDeclared"], tls["licenseConcluded"]) == (
        "Apache-2.0 OR GPL-2.0-or-later",
        "Apache-2.0",
    )
    ids = {package["SPDXID"] for package in document["packages"]}
    assert len(ids) == len(document["packages"])
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", it) for it in ids)
    for edge in document["relationships"]:
        assert {edge["spdxElementId"], edge["relatedSpdxElement"]} <= {*ids, "SPDXRef-DOCUMENT"}
    needed = {
        (edge["spdxElementId"], edge["relatedSpdxElement"])
        for edge in document["relationships"]
        if edge["relationshipType"] == "DEPENDS_ON"
    }
    assert len(needed) == sum(len(it.get("dependsOn", ())) for it in bill["dependencies"])


def test_a_tool_is_named_and_is_not_in_the_file(bench: Bench) -> None:
    """Nor does anything that is known of it concern the file: scanners find no CPE."""
    bill, document = cdx(bench), spdx(bench)
    scopes = {part["name"]: part.get("scope", "required") for part in bill["components"]}
    assert [name for name, scope in scopes.items() if scope == "excluded"] == ["make"]
    (make,) = (part for part in bill["components"] if part["name"] == "make")
    assert make["version"] == "1.0"
    assert make["licenses"]
    assert "cpe" not in make
    assert not [it for it in bill["dependencies"] if make["bom-ref"] in it.get("dependsOn", ())]
    edges = {
        (edge["spdxElementId"], edge["relationshipType"], edge["relatedSpdxElement"])
        for edge in document["relationships"]
    }
    (root,) = document["documentDescribes"]
    (package,) = (it["SPDXID"] for it in document["packages"] if it["name"] == "make")
    assert [edge for edge in edges if package in edge] == [(package, "BUILD_TOOL_OF", root)]
    assert not list((bench.release / "licenses").glob("make-*"))


def test_licences_of_ones_own_are_explained() -> None:
    for recipe in RECIPES.values():
        name = licence_name(recipe.releases[0].licence)
        assert "WITH LicenseRef" not in name
    assert licence_name("A WITH LicenseRef-b AND MIT") == "LicenseRef-A-with-b AND MIT"


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"spdxVersion": "SPDX-2.2"}'])
def test_what_is_no_spdx_is_refused(data: bytes) -> None:
    with pytest.raises(PublishError):
        read_spdx(data)


@pytest.mark.parametrize("key", ["documentDescribes", "packages"])
def test_a_document_about_nothing_describes_nothing(bench: Bench, key: str) -> None:
    document = spdx(bench)
    document[key] = []
    assert spdx_described(document) == ""


@pytest.mark.parametrize("suffix", [".cdx.json", ".spdx.json"])
def test_another_files_bill_is_noticed(tmp_path: Path, suffix: str) -> None:
    bench = Bench.make(tmp_path)
    bench.write()
    path = bench.release / f"{FILE}{suffix}"
    text = path.read_text("utf-8")
    sha256 = json.loads((bench.release / f"{FILE}.spdx.json").read_text())["packages"][0][
        "checksums"
    ][0]["checksumValue"]
    path.write_text(text.replace(sha256, "0" * 64), "utf-8")
    done = bench.check()
    assert not done
    assert "describes other bytes" in done.text()
