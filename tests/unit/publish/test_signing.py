"""Keys and signatures: minisign's formats, and suspicion of every key file."""

import base64
import hashlib
import os
import pickle
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import PublishError
from core.minisign import parameters, parse_public, parse_secret, parse_signature
from core.signing import PublicKey, SecretKey, new_key

# Written by minisign 0.11 with -G -W and with -S, for these tests alone.
SECRET = """untrusted comment: minisign encrypted secret key
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAZeTrw3eefyrOMBmIrp0pC2fCa6pUv3dkKpCEYnmNyIyeV+k4exLjNQa+xYXq07mIIwYyppwcGV8qhVYpB1JaQdEw7auhyAOJAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
"""
PUBLIC = """untrusted comment: minisign public key 2A7F9E77C3EBE465
RWRl5OvDd55/Kga+xYXq07mIIwYyppwcGV8qhVYpB1JaQdEw7auhyAOJ
"""
SIGNATURE = """untrusted comment: signature from minisign secret key
RURl5OvDd55/KpT/ZiyQoXAB0tVQGLvQb+qu+oecD0tQXwuuODSbAqHvH4OSfLwo2t/8uXUJkq7C7SD6yakoxs6AFA+OmRySxwE=
trusted comment: timestamp:1795573089	file:f	hashed
COIZPYWm9m1BgxzxfuvgzMiRW6sL/piKBjpA2h8C3vP77Eph3ODmNb3ct9CgvUdtzpE/vKUjl/hTUr6+J8W/BQ==
"""

FULL = """
import resource, sys
from pathlib import Path
from core.signing import new_key
from core.errors import PublishError
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    new_key(Path(sys.argv[1]), Path(sys.argv[2]))
except PublishError as error:
    print(error.what)
"""


def key_file(directory: Path, text: str = SECRET, mode: int = 0o600) -> Path:
    path = directory / "some.key"
    path.write_text(text, "ascii")
    path.chmod(mode)
    return path


def locked(password: str, *, operations: int = 32768, memory: int = 1 << 24) -> str:
    """The secret key under a password, by the format's description and not by our code."""
    data = bytearray(base64.b64decode(SECRET.splitlines()[1]))
    data[2:4] = b"Sc"
    salt = bytes(range(32))
    data[6:54] = salt + operations.to_bytes(8, "little") + memory.to_bytes(8, "little")
    body = bytes(data[54:126])
    body += hashlib.blake2b(b"Ed" + body, digest_size=32).digest()
    stream = hashlib.scrypt(password.encode(), salt=salt, n=1024, r=8, p=1, dklen=104)
    data[54:] = bytes(a ^ b for a, b in zip(body, stream, strict=True))
    return f"untrusted comment: locked\n{base64.b64encode(data).decode()}\n"


class TestMinisignsFiles:
    def test_its_key_pair_is_read(self, tmp_path: Path) -> None:
        key = SecretKey.read(key_file(tmp_path))
        assert key.public.text == PUBLIC
        assert key.public == PublicKey.parse(PUBLIC) == PublicKey.parse(PUBLIC.splitlines()[1])
        assert key.public.name == "2A7F9E77C3EBE465"

    def test_its_numbers_have_no_leading_zeros(self) -> None:
        data = bytearray(base64.b64decode(PUBLIC.splitlines()[1]))
        data[9] = 0x07
        key = PublicKey.parse(base64.b64encode(data).decode())
        assert key.name == "77F9E77C3EBE465"
        assert "minisign public key 77F9E77C3EBE465\n" in key.text

    def test_its_signature_holds(self) -> None:
        comment = PublicKey.parse(PUBLIC).verify(b"hello\n", SIGNATURE)
        assert comment == "timestamp:1795573089\tfile:f\thashed"

    def test_the_same_bytes_each_time(self, tmp_path: Path) -> None:
        key = SecretKey.read(key_file(tmp_path))
        made = key.sign(b"hello\n", comment="timestamp:1795573089\tfile:f\thashed")
        assert made == key.sign(b"hello\n", comment="timestamp:1795573089\tfile:f\thashed")
        # Ed25519 leaves nothing to chance: these are minisign's own bytes.
        assert made == SIGNATURE.encode()

    @pytest.mark.parametrize(
        ("operations", "memory", "expected"),
        [
            (33554432, 1 << 30, (20, 1)),  # crypto_pwhash_scryptsalsa208sha256_*_SENSITIVE
            (524288, 1 << 24, (14, 1)),  # …_INTERACTIVE
            (1, 1 << 24, (10, 1)),  # …_OPSLIMIT_MIN
            (1 << 25, 1 << 24, (14, 64)),
        ],
    )
    def test_scrypt_as_libsodium_has_it(
        self, operations: int, memory: int, expected: tuple[int, int]
    ) -> None:
        assert parameters(operations, memory) == expected


class TestPasswords:
    def test_the_right_one(self, tmp_path: Path) -> None:
        path = key_file(tmp_path, locked("swordfish"))
        assert SecretKey.read(path, password="swordfish").public.text == PUBLIC

    def test_none(self, tmp_path: Path) -> None:
        with pytest.raises(PublishError, match="is encrypted") as caught:
            SecretKey.read(key_file(tmp_path, locked("swordfish")))
        assert "minisign -C -W" in caught.value.next

    def test_a_wrong_one(self, tmp_path: Path) -> None:
        with pytest.raises(PublishError, match="password is wrong"):
            SecretKey.read(key_file(tmp_path, locked("swordfish")), password="marlin")

    @pytest.mark.parametrize(
        ("operations", "memory"), [(1 << 40, 1 << 40), (1 << 60, 1 << 20), (2**64 - 1,) * 2]
    )
    def test_no_more_memory_or_time_than_minisign(
        self, tmp_path: Path, operations: int, memory: int
    ) -> None:
        text = locked("x", operations=operations, memory=memory)
        with pytest.raises(PublishError, match="more memory or time than"):
            SecretKey.read(key_file(tmp_path, text), password="x")


class TestSuspicion:
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o610, 0o644, 0o777])
    def test_others_may_use_it(self, tmp_path: Path, mode: int) -> None:
        with pytest.raises(PublishError, match=f"has mode {mode:04o}") as caught:
            SecretKey.read(key_file(tmp_path, mode=mode))
        assert "chmod 600" in caught.value.next

    def test_through_a_link_too(self, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to(key_file(tmp_path, mode=0o644))
        with pytest.raises(PublishError, match="has mode 0644"):
            SecretKey.read(link)
        key_file(tmp_path)
        assert SecretKey.read(link).public.text == PUBLIC

    def test_somebody_else_s(self, tmp_path: Path) -> None:
        if os.geteuid():
            pytest.skip("only root can give a file away")
        path = key_file(tmp_path)
        os.chown(path, 12345, -1)
        with pytest.raises(PublishError, match="uid 12345"):
            SecretKey.read(path)

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe", 0o600)
        for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
            with pytest.raises(PublishError, match="not a regular file"):
                SecretKey.read(path)

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(PublishError, match="cannot be read") as caught:
            SecretKey.read(tmp_path / "nothing")
        assert "key new" in caught.value.next

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n",
            "x" * 5000,
            PUBLIC,
            SECRET.replace("RWQA", "RWRA"),
            SECRET.replace("\n", "\nuntrusted\n", 1),
            SECRET[:-9] + "\n",
        ],
    )
    def test_what_is_no_key(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(PublishError):
            SecretKey.read(key_file(tmp_path, text))

    def test_damage_is_found_with_and_without_a_checksum(self, tmp_path: Path) -> None:
        ours = tmp_path / "ours"
        SecretKey.read(key_file(tmp_path)).write(ours)
        for text in (SECRET, ours.read_text()):
            data = bytearray(base64.b64decode(text.splitlines()[1]))
            for place in (70, 110):  # the seed, the point
                spoilt = data.copy()
                spoilt[place] ^= 1
                line = base64.b64encode(spoilt).decode()
                with pytest.raises(PublishError, match="is damaged"):
                    SecretKey.read(key_file(tmp_path, f"untrusted comment: x\n{line}\n"))

    def test_a_wrong_checksum(self, tmp_path: Path) -> None:
        data = bytearray(base64.b64decode(SECRET.splitlines()[1]))
        data[-1] = 1
        line = base64.b64encode(data).decode()
        with pytest.raises(PublishError, match="is damaged"):
            SecretKey.read(key_file(tmp_path, f"untrusted comment: x\n{line}\n"))

    def test_bytes_that_are_no_text_are_not_quoted(self, tmp_path: Path) -> None:
        path = tmp_path / "odd"
        path.write_bytes(b"secret\xff\n")
        path.chmod(0o600)
        with pytest.raises(PublishError) as caught:
            SecretKey.read(path)
        assert caught.value.__cause__ is None
        assert "secret\\" not in repr(caught.value)


class TestSecrecy:
    def test_a_key_is_never_shown(self, tmp_path: Path) -> None:
        key = SecretKey.read(key_file(tmp_path))
        seed = key.seed
        for shown in (repr(key), str(key), f"{key}"):
            for form in (repr(seed)[2:-1], seed.hex(), base64.b64encode(seed).decode()[:20]):
                assert form not in shown

    def test_nor_sent_elsewhere(self) -> None:
        with pytest.raises(TypeError):
            pickle.dumps(SecretKey.generate())


class TestNewKeys:
    def test_a_pair(self, tmp_path: Path) -> None:
        secret, public = tmp_path / "new" / "a.key", tmp_path / "new" / "a.pub"
        before = os.umask(0)
        try:
            key = new_key(secret, public)
        finally:
            os.umask(before)
        assert secret.stat().st_mode & 0o777 == 0o600
        assert public.stat().st_mode & 0o777 == 0o644
        assert SecretKey.read(secret) == key
        assert PublicKey.read(public) == key.public
        assert key.public.verify(b"x", key.sign(b"x", comment="y").decode()) == "y"

    def test_two_are_two(self) -> None:
        assert SecretKey.generate().public != SecretKey.generate().public

    @pytest.mark.parametrize("taken", ["a.key", "a.pub"])
    def test_nothing_is_overwritten(self, tmp_path: Path, taken: str) -> None:
        (tmp_path / taken).write_text("precious")
        with pytest.raises(PublishError, match="never overwritten"):
            new_key(tmp_path / "a.key", tmp_path / "a.pub")
        assert [path.name for path in tmp_path.iterdir()] == [taken]
        assert (tmp_path / taken).read_text() == "precious"

    def test_nor_is_a_dangling_link_followed(self, tmp_path: Path) -> None:
        (tmp_path / "a.key").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(PublishError, match="never overwritten"):
            new_key(tmp_path / "a.key", tmp_path / "a.pub")
        assert not (tmp_path / "elsewhere").exists()

    def test_a_full_disk_leaves_nothing(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-c", FULL, str(tmp_path / "a.key"), str(tmp_path / "a.pub")],
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "cannot be written: [Errno 27] File too large" in done.stdout
        assert list(tmp_path.iterdir()) == []


class TestVerify:
    KEY = PublicKey.parse(PUBLIC)

    def test_other_bytes(self) -> None:
        with pytest.raises(PublishError, match="does not fit"):
            self.KEY.verify(b"hallo\n", SIGNATURE)

    def test_somebody_else(self) -> None:
        with pytest.raises(PublishError, match="not of"):
            SecretKey.generate().public.verify(b"hello\n", SIGNATURE)

    def test_the_same_id_is_not_the_same_key(self) -> None:
        other = SecretKey.generate().public.point
        line = base64.b64encode(b"Ed" + self.KEY.id + other).decode()
        with pytest.raises(PublishError, match="does not fit"):
            PublicKey.parse(line).verify(b"hello\n", SIGNATURE)

    def test_the_trusted_comment_is_signed(self) -> None:
        with pytest.raises(PublishError, match="comment was changed"):
            self.KEY.verify(b"hello\n", SIGNATURE.replace("file:f", "file:g"))

    def test_legacy(self) -> None:
        with pytest.raises(PublishError) as caught:
            self.KEY.verify(b"hello\n", SIGNATURE.replace("\nRUR", "\nRWR"))
        assert "legacy" in caught.value.why

    @pytest.mark.parametrize("spot", range(0, 330, 3))
    def test_any_flipped_byte_of_ours(self, spot: int) -> None:
        key = SecretKey.generate()
        made = bytearray(key.sign(b"data", comment="file:f"))
        if spot < len(made):
            made[spot] ^= 1
            text = made.decode("utf-8", "replace")
            with pytest.raises(PublishError):
                key.public.verify(b"data", text)

    def test_each_line_has_one_spelling(self) -> None:
        """The spare bits of base64 are signed by nobody: another spelling of the same bytes is refused."""
        letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
        changed = 0
        for text, read in ((SIGNATURE, parse_signature), (SECRET, parse_secret)):
            for line in text.splitlines():
                bare = line.rstrip("=")
                if bare == line or ":" in line:
                    continue
                other = bare[:-1] + letters[letters.index(bare[-1]) ^ 1] + line[len(bare) :]
                assert base64.b64decode(other, validate=True) == base64.b64decode(line)
                with pytest.raises(PublishError, match="is not a minisign"):
                    read(text.replace(line, other))
                changed += 1
        assert changed == 3

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        for read in (parse_signature, parse_public, parse_secret):
            with pytest.raises(PublishError):
                read(text)

    @pytest.mark.parametrize("comment", ["a\nb", "a\rb", "\0", "x" * 2000])
    def test_comments_of_one_line(self, comment: str) -> None:
        with pytest.raises(PublishError, match="one line"):
            SecretKey.generate().sign(b"x", comment=comment)
