"""Debian's docker-registry, and those who pull from it: skopeo and the Docker engine."""

import contextlib
import dataclasses
import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from trustme import CA

from core.errors import PublishError
from core.retry import RetryPolicy
from publish.oci.attachment import Attachment
from publish.oci.layout import Layout
from publish.registry.client import RegistryOptions
from publish.registry.credentials import Login
from publish.registry.pull import list_tags, pull
from publish.registry.push import push
from publish.registry.reference import Reference, Repository
from publish.registry.referrers import fallback_tag
from publish.registry.upload_item import ItemKind
from tests.integration.token_server import TokenService, token_service
from tests.registry_server import IDENTITY, PASSWORD, USER, Recorder, attachments_of, tiny_layout

CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {directory}/store}}
  {storage}
http: {{addr: "127.0.0.1:{port}"{tls}}}
{auth}
"""
READ_ONLY = "maintenance: {readonly: {enabled: true}}"
ASKS = "auth: {{htpasswd: {{realm: here, path: {directory}/htpasswd}}}}"
HASHED = "$2b$05$abcdefghijklmnopqrstuuz9ru.DPTwxNExtxeGv9qaeMEfgEFojK"
"""bcrypt of PASSWORD: the only hash that this registry takes."""

NGINX = """
daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/nginx.log;
events {{}}
http {{
  access_log off; client_max_body_size 1m;
  client_body_temp_path {directory}/a; proxy_temp_path {directory}/b; fastcgi_temp_path {directory}/c;
  uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_set_header Host $http_host; }}
  }}
}}
"""


def need(name: str, package: str = "") -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install -y {package or name}")
    return found


def output(name: str, *words: str | Path) -> str:
    """What another tool prints; it must be content."""
    done = subprocess.run(
        [need(name), *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert isinstance(port, int)
        return port


@contextlib.contextmanager
def running(words: list[str], port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A server of ours that answers on ``port``, until the end of the block."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(300):
                assert process.poll() is None, f"{words[0]} ended with {process.returncode}"
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                with contextlib.suppress(OSError), contextlib.closing(connection):
                    connection.request("GET", "/v2/")
                    connection.getresponse().read()
                    break
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()


@contextlib.contextmanager
def debian_registry(
    directory: Path, *, port: int = 0, storage: str = "", auth: str = "", tls: str = ""
) -> Iterator[tuple[Repository, "subprocess.Popen[bytes]"]]:
    """A registry of the test's own, whose images are in ``directory``."""
    port = port or free_port()
    directory.mkdir(exist_ok=True)
    config = directory / "config.yml"
    (directory / "htpasswd").write_text(f"{USER}:{HASHED}\n")
    auth = auth.format(directory=directory) if "{directory}" in auth else auth
    settings = {"port": port, "storage": storage, "auth": auth, "tls": tls}
    config.write_text(CONFIG.format(directory=directory, **settings))
    words = [need("docker-registry"), "serve", str(config)]
    with running(words, port) as process:
        yield Repository(host=f"127.0.0.1:{port}", path="fromscratch/static-curl"), process


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with debian_registry(tmp_path / "registry") as (found, _):
        yield found


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return tiny_layout(tmp_path / "oci")


@pytest.fixture
def attachments(layout: Layout) -> tuple[Attachment, ...]:
    return attachments_of(layout)


def files(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}


def test_skopeo_finds_the_same_digest_and_the_same_bytes(
    repository: Repository, layout: Layout, attachments: tuple[Attachment, ...], tmp_path: Path
) -> None:
    done = push(layout, repository, ("8.21.0-http", "latest"), attachments)
    name = f"docker://{done.reference}"
    seen = json.loads(output("skopeo", "inspect", "--tls-verify=false", name))
    assert seen["Digest"] == layout.index.digest == done.digest
    assert {"8.21.0-http", "latest"} <= set(seen["RepoTags"])
    copy = tmp_path / "copied"
    output("skopeo", "copy", "--all", "--src-tls-verify=false", name, f"dir:{copy}")
    index = layout.blob(layout.index.digest).read_bytes()
    assert (copy / "manifest.json").read_bytes() == index
    for descriptor in layout.reachable():
        if descriptor.platform is None and descriptor != layout.index:
            path = copy / descriptor.digest.partition(":")[2]
            assert path.read_bytes() == layout.blob(descriptor.digest).read_bytes()


def test_pushing_again_sends_nothing_and_touches_nothing(
    repository: Repository, layout: Layout, attachments: tuple[Attachment, ...], tmp_path: Path
) -> None:
    recorder = Recorder()
    first = push(layout, repository, (), attachments)
    before = files(tmp_path / "registry" / "store")
    second = push(layout, repository, (), attachments, progress=recorder)
    assert (second.uploaded, second.present) == (0, first.uploaded)
    assert (recorder.bytes, recorder.notes) == (0, [])
    assert not second.changed
    assert files(tmp_path / "registry" / "store") == before
    assert not push(layout, repository, (), attachments, dry=True).changed


def test_what_would_be_pushed_is_told_and_nothing_is_there(
    repository: Repository, layout: Layout, attachments: tuple[Attachment, ...], tmp_path: Path
) -> None:
    planned = push(layout, repository, (), attachments, dry=True)
    assert planned.changed
    assert {item.kind for item in planned.items} == set(ItemKind)
    assert files(tmp_path / "registry" / "store") == {}
    assert push(layout, repository, (), attachments).items == planned.items


def test_what_is_said_about_the_image_is_found_by_the_tag_that_other_tools_look_for(
    repository: Repository, layout: Layout, attachments: tuple[Attachment, ...], tmp_path: Path
) -> None:
    push(layout, repository, (), attachments)
    for attachment in attachments:
        tag = fallback_tag(attachment.subject.digest)
        name = f"docker://{repository}"
        listed = json.loads(
            output("skopeo", "inspect", "--raw", "--tls-verify=false", f"{name}:{tag}")
        )
        (entry,) = listed["manifests"]
        assert entry["artifactType"] == attachment.artifact_type
        copy = tmp_path / entry["digest"][-8:]
        output(
            *("skopeo", "copy", "--src-tls-verify=false"),
            *(f"{name}@{entry['digest']}", f"dir:{copy}"),
        )
        digest = attachment.layer.digest.partition(":")[2]
        assert (copy / digest).read_bytes() == attachment.data


def test_what_was_pushed_comes_back(
    repository: Repository, layout: Layout, attachments: tuple[Attachment, ...], tmp_path: Path
) -> None:
    push(layout, repository, ("8.21.0-http", "latest"), attachments)
    assert list_tags(repository) == ("8.21.0-http", "latest")
    for word in ("8.21.0-http", layout.index.digest):
        directory = tmp_path / f"pulled-{word[:6]}"
        pulled, attached = pull(Reference(repository=repository, word=word), directory)
        assert pulled == dataclasses.replace(layout, directory=directory)
        assert Layout.read(directory) == pulled
        assert attached == attachments


@pytest.mark.docker
def test_the_docker_engine_pulls_it(repository: Repository, layout: Layout) -> None:
    done = push(layout, repository)
    try:
        assert layout.index.digest in output("docker", "pull", done.reference)
        (image,) = json.loads(output("docker", "image", "inspect", done.reference))
        assert image["RepoDigests"] == [f"{repository}@{layout.index.digest}"]
        assert (image["Os"], image["Architecture"]) == ("linux", "amd64")
    finally:
        subprocess.run(["docker", "rmi", done.reference], capture_output=True, check=False)


def test_skopeos_login_is_good_and_without_one_the_next_step_is_named(
    tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with debian_registry(tmp_path / "registry", auth=ASKS) as (repository, _):
        with pytest.raises(PublishError, match="authentication required") as caught:
            push(layout, repository)
        assert caught.value.next == f"docker login {repository.host}"
        output(
            *("skopeo", "login", "--tls-verify=false", f"--authfile={tmp_path}/config.json"),
            *("--username", USER, "--password", PASSWORD, repository.host),
        )
        assert push(layout, repository).changed
        assert list_tags(repository) == ("8.21.0-http",)
        config = json.loads((tmp_path / "config.json").read_text())
        config["auths"][repository.host]["auth"] = "cm9iaW46d3Jvbmc="  # robin:wrong
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(PublishError, match="does not accept the login of 'robin'"):
            push(layout, repository)


@pytest.mark.parametrize("tool", ["podman", "skopeo"])
@pytest.mark.parametrize("below", ["", "/fromscratch"])
def test_podmans_login_is_good(
    tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch, tool: str, below: str
) -> None:
    """Where it writes by itself, and in the file that the variable names; for the host, and for a part of it."""
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path / name))
        (tmp_path / name).mkdir()
    words = ("login", "--tls-verify=false", "--username", USER, "--password", PASSWORD)
    with debian_registry(tmp_path / "registry", auth=ASKS) as (repository, _):
        # Not before: a registry takes every variable that begins with its name for a setting of its own.
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "logins.json"))
        output(tool, *words, f"{repository.host}{below}")
        assert push(layout, repository).changed
        (tmp_path / "logins.json").unlink()
        monkeypatch.delenv("REGISTRY_AUTH_FILE")
        with pytest.raises(PublishError, match="authentication required"):
            push(layout, repository, ("again",))
        output(tool, *words, f"{repository.host}{below}")
        assert push(layout, repository, ("again",)).changed


def test_a_registry_on_this_machine_with_a_certificate_of_its_own(
    tmp_path: Path, layout: Layout, attachments: tuple[Attachment, ...]
) -> None:
    authority = CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    made = authority.issue_cert("127.0.0.1")
    made.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    tls = f', tls: {{certificate: "{tmp_path}/server.pem", key: "{tmp_path}/server.pem"}}'
    with debian_registry(tmp_path / "registry", tls=tls) as (repository, _):
        with pytest.raises(PublishError, match="TLS failed"):
            push(layout, repository)
        options = RegistryOptions(ca_file=str(tmp_path / "ca.crt"))
        done = push(layout, repository, (), attachments, options=options)
        reference = Reference(repository=repository, word=layout.tag)
        assert pull(reference, tmp_path / "pulled", options=options)[1] == attachments
        # Others find the same there, told in their own way.
        words = ("inspect", "--raw", f"--cert-dir={tmp_path}", f"docker://{done.reference}")
        index = layout.blob(layout.index.digest).read_text()
        assert output("skopeo", *words) == index


class TestTokens:
    """A registry that believes another server's tokens alone, as all the large ones do."""

    @pytest.fixture
    def tokens(self) -> Iterator[TokenService]:
        with token_service() as service:
            yield service

    @pytest.fixture
    def guarded(self, tokens: TokenService, tmp_path: Path) -> Iterator[Repository]:
        directory = tmp_path / "registry"
        directory.mkdir()
        with debian_registry(directory, auth=tokens.config(directory)) as (repository, _):
            yield repository

    def options(self, login: Login | None) -> RegistryOptions:
        return RegistryOptions(policy=RetryPolicy(tries=2, backoff=0.1), login=lambda _: login)

    @pytest.mark.parametrize(
        "login", [Login(user=USER, secret=PASSWORD), Login(identity=IDENTITY)], ids=["user", "refresh"]
    )  # fmt: skip
    def test_whoever_may_push_needs_one_token(
        self,
        guarded: Repository,
        tokens: TokenService,
        layout: Layout,
        attachments: tuple[Attachment, ...],
        login: Login,
    ) -> None:
        done = push(layout, guarded, (), attachments, options=self.options(login))
        assert done.changed
        method = "POST" if login.identity else "GET"
        assert tokens.asked == [(method, f"repository:{guarded.path}:pull,push")]

    def test_everybody_may_pull_and_nobody_else_push(
        self, guarded: Repository, tokens: TokenService, layout: Layout, tmp_path: Path
    ) -> None:
        robin = self.options(Login(user=USER, secret=PASSWORD))
        push(layout, guarded, options=robin)
        tokens.asked.clear()
        anybody = self.options(None)
        reference = Reference(repository=guarded, word=layout.tag)
        pulled, _ = pull(reference, tmp_path / "pulled", options=anybody)
        assert pulled.index == layout.index
        assert tokens.asked == [("GET", f"repository:{guarded.path}:pull")]
        with pytest.raises(PublishError, match="authentication required"):
            push(layout, guarded, ("other",), options=anybody)
        assert list_tags(guarded, options=anybody) == (layout.tag,)

    def test_a_wrong_password_is_said_as_it_is(self, guarded: Repository, layout: Layout) -> None:
        with pytest.raises(PublishError, match="does not accept the login of 'robin'"):
            push(layout, guarded, options=self.options(Login(user=USER, secret="wrong")))

    def test_tokens_that_end_on_the_way_are_renewed(
        self,
        guarded: Repository,
        tokens: TokenService,
        layout: Layout,
        attachments: tuple[Attachment, ...],
    ) -> None:
        tokens.seconds = (
            -59
        )  # a registry lets a minute pass, so that clocks may differ: one second is left
        robin = self.options(Login(user=USER, secret=PASSWORD))
        progress = Slow()
        push(layout, guarded, (), attachments, options=robin, progress=progress)
        assert len(tokens.asked) > 1


class Slow(Recorder):
    """Somebody who is slower than a token is good for."""

    def started(self, label: str, size: int, origin: str = "") -> None:
        super().started(label, size, origin)
        if len(self.labels) < 3:
            time.sleep(2.1)


def test_a_read_only_registry_is_said_as_it_is(tmp_path: Path, layout: Layout) -> None:
    with debian_registry(tmp_path / "registry", storage=READ_ONLY) as (repository, _):
        with pytest.raises(PublishError) as caught:
            push(layout, repository)
        assert "HTTP 405" in caught.value.what
        assert "read-only" in caught.value.why


def test_nginx_that_cuts_at_a_megabyte_is_sent_pieces(
    tmp_path: Path, repository: Repository
) -> None:
    heavy = tiny_layout(tmp_path / "heavy", bulk=5 << 20)
    port = free_port()
    config = tmp_path / "nginx.conf"
    behind = repository.host.rpartition(":")[2]
    config.write_text(NGINX.format(directory=tmp_path, port=port, behind=behind))
    recorder = Recorder()
    with running([need("nginx"), "-c", str(config), "-p", str(tmp_path)], port):
        through = dataclasses.replace(repository, host=f"127.0.0.1:{port}")
        done = push(heavy, through, progress=recorder)
        assert push(heavy, through).uploaded == 0
    assert any("524288 at a time" in note for note in recorder.notes)
    name = f"docker://{repository}:{heavy.tag}"
    seen = json.loads(output("skopeo", "inspect", "--tls-verify=false", name))
    assert seen["Digest"] == done.digest


class Killing(Recorder):
    """Somebody who kills the registry once so many bytes are on their way."""

    process: "subprocess.Popen[bytes] | None" = None

    def advanced(self, size: int) -> None:
        super().advanced(size)
        if self.process and self.bytes > 1 << 20:
            self.process.kill()
            self.process.wait()
            self.process = None


def test_a_registry_that_dies_midway_has_no_tag_and_the_next_push_completes_it(
    tmp_path: Path,
) -> None:
    heavy = tiny_layout(tmp_path / "heavy", bulk=8 << 20)
    attachments = attachments_of(heavy)
    options = RegistryOptions(policy=RetryPolicy(tries=2, backoff=0.1))
    directory, port = tmp_path / "registry", free_port()
    recorder = Killing()
    with debian_registry(directory, port=port) as (repository, process):
        recorder.process = process
        with pytest.raises(PublishError, match="connection refused"):
            push(heavy, repository, (), attachments, options=options, progress=recorder)
        assert recorder.process is None
    with debian_registry(directory, port=port) as (repository, _):
        assert list_tags(repository) == ()
        assert push(heavy, repository, (), attachments, options=options).changed
        reference = Reference(repository=repository, word=heavy.tag)
        pulled, attached = pull(reference, tmp_path / "pulled")
        assert pulled.index == heavy.index
        assert attached == attachments
