"""Reports to draw: with something in each chapter, of many targets, and of a stranger's recipe that means no good."""

from dataclasses import replace

from core.target import Target
from report.data import (
    Again,
    Audit,
    Before,
    BuiltFile,
    Cost,
    Fill,
    Part,
    Piece,
    Report,
    Run,
    Span,
    Trouble,
)
from report.thin import thinned

MADE = "2026-11-28T12:31:07Z"

HOSTILE = (
    "</script><script>document.title='run'</script>",
    "--><img src=x onerror=\"document.title='run'\">",
    "]]></title></svg></style><b>'\"`\\ ${7*7} {{7*7}} &amp;",
    "'; document.title='run'; //",
    "\x1b[31m\x00\u202egnp.exe",
    "javascript:document.title='run'",
    "| a | b |\n# c\n`d`",
)
"""Names that end something, begin something, or are computed somewhere, if nobody takes care."""


def built(product: str, target: str, size: int, *, packed: bool = False) -> BuiltFile:
    """One good file, of which everything was recorded."""
    slug = f"{product}-1.2.3-{target.replace('/', '-')}".replace(":", "-")
    return BuiltFile(
        product=product,
        release="1.2.3",
        target=target,
        packed=packed,
        path=f"files/{slug}{'.upx' if packed else ''}",
        sha256="0" * 64,
        size=size // 2 if packed else size,
        gzip=size * 45 // 100,
        budget=None if packed or target != "linux/amd64" else size + 20_000,
        anchors=54_390,
        ok=True,
        smoke="ok",
        smoke_how="sandbox",
        engine="sandbox",
        isolated=True,
        seconds=12.5,
        again=Again(equal=True, when=MADE, how="sandbox -> host"),
        reproduced_by=("0123456789ABCDEF",),
        before=Before(release="1.2.2", size=size - 1234),
    )


def library(name: str, size: int, functions: int = 6) -> Piece:
    """A library of one object, whose functions become smaller and smaller; they add up."""
    sizes = [size >> (number + 1) for number in range(functions)]
    parts = tuple(
        Piece(name=f"{name.partition('.')[0]}_function_{number}", size=each)
        for number, each in enumerate(sizes)
    )
    return Piece(name=name, size=size, pieces=(Piece(name="one.c.o", size=size, pieces=parts),))


def filled(product: str, target: str, size: int) -> Fill:
    """What fills a file."""
    rest = size - 250_000
    return Fill(
        product=product,
        release="1.2.3",
        target=target,
        size=size,
        libraries=(library("libmbedcrypto.a", 180_000), library("libcurl.a", 40_000)),
        unowned=(
            Piece(name="merged strings", size=30_000, note="the linker keeps equal strings once"),
            Piece(name="padding", size=rest, note="between sections"),
        ),
        checks=(Piece(name="http", size=5100), Piece(name="tcp", size=1200)),
        checks_note="Modules alone, without what they call.",
    )


def run() -> Run:
    """Two workers, one of which waits for the other."""

    def span(name: str, lane: str, began: float, ended: float, **more: object) -> Span:
        about: dict[str, object] = {"kind": "build", "cached": False, **more}
        return Span(name=name, lane=lane, began=began, seconds=ended - began, **about)  # type: ignore[arg-type]

    return Run(
        when=MADE,
        cores=2,
        jobs=2,
        seconds=60.0,
        spans=(
            span("curl 1.2.3", "fetch_0", 0.0, 3.0, kind="fetch", critical=True),
            span(
                "musl:base 1.2.6 linux/amd64",
                "step_0",
                3.0,
                25.0,
                cpu=11.1,
                memory=206782464,
                critical=True,
            ),
            span("zlib 1.3 linux/amd64", "step_1", 3.0, 9.0, cpu=2.0, memory=80 << 20),
            span(
                "curl:https 1.2.3 linux/amd64",
                "step_0",
                25.0,
                52.0,
                cpu=20.0,
                memory=328 << 20,
                critical=True,
            ),
            span(
                "curl:https 1.2.3 linux/amd64 pack",
                "step_1",
                52.0,
                54.0,
                kind="pack",
                critical=True,
            ),
            span("upx 4.2.4 linux/amd64", "step_1", 9.0, 9.0 + 64.0, cached=True, cpu=21.9),
            span("curl-https-1.2.3-linux-amd64", "verify_0", 54.0, 55.0, kind="verdict"),
            span(
                "curl-https-1.2.3-linux-amd64", "verify_0", 55.0, 58.0, kind="smoke", critical=True
            ),
        ),
    )


def part(name: str, date: str) -> Part:
    return Part(
        name=name,
        version="1.2.3",
        licence="MIT",
        sha256="0" * 64,
        url="https://example.org/x.tar.xz",
        date=date,
        signature="OpenPGP, by 27EDEAF22F3ABCEB50DB9A125CC908FDB71E12C2",
        files=2,
    )


def whole() -> Report:
    """Something in each chapter, all of it good."""
    sizes = {"curl:mini": 330_000, "curl:https": 800_000, "probe:full": 480_000}
    targets = ("linux/amd64", "linux/arm64")
    files = [
        built(product, target, size + 10_000 * place, packed=packed)
        for product, size in sizes.items()
        for place, target in enumerate(targets)
        for packed in (False, True)
    ]
    return Report(
        made=MADE,
        against="the release before",
        files=tuple(files),
        fill=tuple(filled(it.product, it.target, it.size) for it in files if not it.packed),
        runs=(run(),),
        costs=tuple(
            Cost(
                name=name, ours=ours, size=size, cpu=cpu, memory=40.0, when=MADE, machine="2 cores"
            )
            for name, ours, size, cpu in (
                ("curl:mini", True, 330_000, 0.51),
                ("curl:https", True, 740_000, 0.7),
                ("Debian's curl", False, 22_000_000, 6.0),
                ("Rust std twin", False, 1_373_544, 0.9),
                ("a peer that was not timed", False, 1_000_000, None),
                ("a peer without a size", False, None, 4.0),
            )
        ),
        parts=(part("curl", "2026-09-02"), part("musl", "2026-03-20"), part("upx", "2024-05-09")),
        audit=Audit(
            when=MADE,
            asked=("osv", "debian"),
            affecting=0,
            refused=0,
            threshold="medium",
            parts=3,
            unnamed=1,
            blind=False,
        ),
    )


def refused() -> Report:
    """As `whole`, but a file was refused, one failed when it was tried, and a step failed."""
    good = whole()
    bad = (
        ("curl-full-1.2.3-linux-amd64", "curl:full", "linux/amd64", "refused"),
        ("curl-full-1.2.3-linux-arm64", "curl:full", "linux/arm64", "smoke run failed"),
        ("openssl 3 linux/s390x", "openssl", "linux/s390x", "step failed"),
    )
    trouble = (Trouble(name=n, product=p, target=t, what=w) for n, p, t, w in bad)
    failed = replace(good.runs[0].spans[2], failed=True)
    spans = (*good.runs[0].spans[:2], failed, *good.runs[0].spans[3:])
    return replace(good, trouble=tuple(trouble), runs=(replace(good.runs[0], spans=spans),))


def empty() -> Report:
    """A build that was broken off before anything was delivered or done."""
    return Report(made=MADE, files=(), runs=(Run(when="", cores=2, jobs=2, seconds=0.2, spans=()),))


def nine() -> Report:
    """Every target, nine products with all that may be recorded of them."""
    names = (
        "curl:mini",
        "curl:http",
        "curl:https",
        "curl:h2",
        "curl:full",
        "probe:mini",
        "probe:full",
    )
    sizes = {name: 330_000 * (place + 1) for place, name in enumerate(names)}
    targets = [target.value for target in Target][:9]
    files = [
        built(product, target, size + 9_000 * place, packed=packed)
        for product, size in sizes.items()
        for place, target in enumerate(targets)
        for packed in (False, True)
    ]
    libraries = tuple(library(f"lib{number}.a", 9000 - number, functions=9) for number in range(25))
    fill = [
        replace(
            filled(it.product, it.target, it.size),
            libraries=libraries,
            unowned=(Piece(name="x", size=it.size - sum(lib.size for lib in libraries)),),
        )
        for it in files
        if not it.packed
    ]
    return replace(whole(), files=tuple(files), fill=thinned(fill, targets))


def hostile() -> Report:
    """Every text is one that means no good."""
    bad = HOSTILE
    good = whole()
    files = tuple(
        replace(
            it,
            product=bad[place % 4],
            release=bad[1],
            target=bad[place % 2],
            path=bad[2],
            smoke_how=bad[3],
            engine=bad[4],
            findings=bad,
            before=Before(release=bad[0], size=1),
        )
        for place, it in enumerate(good.files)
    )
    pieces = tuple(Piece(name=name, size=1000, note=name) for name in bad)
    return Report(
        made=MADE,
        against=bad[0],
        files=files,
        trouble=tuple(Trouble(name=n, product=n, target=bad[1], what=n) for n in bad),
        fill=(
            Fill(
                product=files[0].product,
                release=bad[0],
                target=files[0].target,
                size=14_000,
                libraries=(Piece(name=bad[0], size=7000, pieces=pieces),),
                unowned=pieces,
                checks=pieces,
                checks_note=bad[0],
            ),
        ),
        runs=(
            replace(
                good.runs[0],
                when=bad[0],
                spans=tuple(
                    replace(it, name=bad[place % 7], lane=bad[place % 3])
                    for place, it in enumerate(good.runs[0].spans)
                ),
            ),
        ),
        costs=tuple(replace(it, name=bad[0], when=bad[1], machine=bad[2]) for it in good.costs),
        parts=tuple(
            replace(it, name=bad[0], version=bad[1], licence=bad[2], url=bad[5], signature=bad[6])
            for it in good.parts
        ),
        audit=replace(good.audit, asked=bad, when=bad[0], threshold=bad[1]) if good.audit else None,
    )
