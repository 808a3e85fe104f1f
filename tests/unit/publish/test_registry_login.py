"""Who we are at a registry: asked only when it must be known, sent only where it belongs, never shown."""

import base64
import dataclasses
import json
import logging
import stat
from pathlib import Path

import pytest

from core.errors import PublishError
from publish.registry.credentials import Login, find_login
from publish.registry.push import push
from publish.registry.reference import Repository
from tests.registry_server import (
    IDENTITY,
    PASSWORD,
    USER,
    Auth,
    Client,
    registry_server,
)

ROBIN = Login(user=USER, secret=PASSWORD)


@pytest.fixture
def client(client: Client) -> Client:
    """Who says who he is."""
    client.login = ROBIN
    return client


@pytest.fixture
def docker_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "docker"
    directory.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(directory))
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    return directory


def refusal(client: Client) -> PublishError:
    with pytest.raises(PublishError) as caught:
        client.push()
    assert client.tagged == {}
    return caught.value


@pytest.mark.parametrize("auth", [Auth.BASIC, Auth.TOKEN, Auth.ANONYMOUS])
def test_a_registry_that_asks_is_answered(client: Client, auth: Auth) -> None:
    client.server.auth = auth
    client.push()
    assert client.server.store.incomplete() == []
    assert client.slept == []


def test_nobody_is_asked_for_a_login_that_is_not_needed(client: Client) -> None:
    def never(host: str) -> Login | None:
        raise AssertionError(host)

    push(client.layout, client.repository, options=dataclasses.replace(client.options, login=never))
    assert not any("Authorization" in asked.headers for asked in client.server.log)


def test_one_token_for_reading_and_writing_is_enough(client: Client) -> None:
    client.server.auth = Auth.TOKEN
    client.push()
    ((scope, _),) = client.server.tokens.values()
    assert scope == "repository:from.scratch/tools/static-curl:pull,push"


def test_whoever_only_looks_asks_for_no_right_to_write(client: Client) -> None:
    client.server.auth = Auth.TOKEN
    client.push(dry=True)
    ((scope, _),) = client.server.tokens.values()
    assert scope == "repository:from.scratch/tools/static-curl:pull"


def test_a_token_that_expires_on_the_way_is_renewed(client: Client) -> None:
    client.server.auth = Auth.TOKEN
    client.server.token_uses = 3
    client.push()
    assert client.server.store.incomplete() == []
    assert len(client.server.tokens) > 10
    assert client.slept == []


def test_a_refresh_token_is_exchanged(client: Client) -> None:
    client.server.auth = Auth.TOKEN
    client.login = Login(identity=IDENTITY)
    client.push()
    assert client.server.store.incomplete() == []
    assert client.server.asked("POST /token")


@pytest.mark.parametrize("auth", [Auth.BASIC, Auth.TOKEN])
def test_a_wrong_password_names_the_command_that_mends_it(client: Client, auth: Auth) -> None:
    client.server.auth = auth
    client.login = Login(user=USER, secret="wrong-pa55word")
    error = refusal(client)
    assert error.what == f"{client.server.host} does not accept the login of 'robin'."
    assert error.next == f"docker login {client.server.host}"
    assert "wrong-pa55word" not in str(error)
    assert client.slept == []


@pytest.mark.parametrize("auth", [Auth.BASIC, Auth.TOKEN])
def test_no_login_at_all_names_it_too(client: Client, auth: Auth) -> None:
    client.server.auth = auth
    client.login = None
    error = refusal(client)
    assert "authentication required" in error.what
    assert error.next == f"docker login {client.server.host}"


def test_a_token_that_nothing_accepts_is_no_loop(client: Client) -> None:
    client.server.auth = Auth.TOKEN
    client.server.token_uses = 0
    refusal(client)
    assert len(client.server.log) < 10


@pytest.mark.parametrize(
    "realm", ["http://tokens.invalid/token", "ftp://127.0.0.1/", "file:///etc/passwd", "token", "x"]
)
def test_a_login_is_not_sent_where_it_would_not_be_safe(client: Client, realm: str) -> None:
    client.server.auth = Auth.TOKEN
    client.server.realm = realm
    assert "not safe" in refusal(client).what


def test_a_fault_of_the_token_service_is_retried(client: Client) -> None:
    from tests.registry_server import Asked, ServerFault  # noqa: PLC0415

    client.server.auth = Auth.TOKEN
    seen: list[Asked] = []

    def twice(asked: Asked) -> ServerFault | None:
        seen.extend([asked] if "/token" in asked.path else [])
        return ServerFault.ERROR if seen and seen[-1] is asked and len(seen) < 3 else None

    client.server.fault = twice
    client.push()
    assert client.slept == [0.5, 1.0]
    assert client.server.store.incomplete() == []


def test_a_token_goes_to_no_other_host(client: Client, tmp_path: Path) -> None:
    client.push()
    with registry_server() as other:
        other.store = client.server.store
        client.server.auth = Auth.TOKEN
        client.server.redirects = f"http://{other.host}"
        client.pull(tmp_path / "pulled")
        assert other.asked("/blobs/")
        assert not any("Authorization" in asked.headers for asked in other.log)


def test_nothing_secret_is_ever_told(
    client: Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client.server.auth = Auth.TOKEN
    client.server.detail = "you sent {auth}"  # a registry that throws it back at us
    client.push()
    (token, *_) = client.server.tokens
    from tests.registry_server import ServerFault  # noqa: PLC0415

    client.server.store.tags.clear()
    client.server.fault = lambda asked: ServerFault.DENIED if asked.method == "PUT" else None
    error = refusal(client)
    assert "you sent Bearer ***" in error.what
    tokens = list(client.server.tokens)
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    captured = capfd.readouterr()
    everything = "\n".join(
        [str(error), repr(error), repr(ROBIN), *client.recorder.notes, caplog.text, *captured]
    )
    for secret in (PASSWORD, basic, token, *tokens):
        assert secret not in everything


def test_a_users_netrc_is_not_read(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login eve password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    client.server.auth = Auth.TOKEN
    client.push()
    assert client.server.store.incomplete() == []


# --- what docker login has left


def entry(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_the_login_of_dockers_config_is_found(docker_directory: Path) -> None:
    config = {"auths": {"ghcr.io": entry("robin", "a:b"), "127.0.0.1:5000": entry("x", "y")}}
    (docker_directory / "config.json").write_text(json.dumps(config))
    assert find_login("ghcr.io") == Login(user="robin", secret="a:b")
    assert find_login("127.0.0.1:5000") == Login(user="x", secret="y")
    assert find_login("127.0.0.1:5001") is None


def test_a_refresh_token_of_dockers_config_is_found(docker_directory: Path) -> None:
    config = {"auths": {"cr.invalid": {**entry("00000", ""), "identitytoken": "refresh"}}}
    (docker_directory / "config.json").write_text(json.dumps(config))
    assert find_login("cr.invalid") == Login(identity="refresh")


@pytest.mark.parametrize(
    ("user", "expected"),
    [("robin", Login(user="robin", secret="s")), ("<token>", Login(identity="s"))],
)
def test_a_credential_helper_is_asked(
    docker_directory: Path, monkeypatch: pytest.MonkeyPatch, user: str, expected: Login
) -> None:
    helper = docker_directory / "docker-credential-test"
    helper.write_text(f'#!/bin/sh\nread host\necho \'{{"Username":"{user}","Secret":"s"}}\'\n')
    helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{docker_directory}:/usr/bin:/bin")
    config = {"credHelpers": {"ghcr.io": "test"}}
    (docker_directory / "config.json").write_text(json.dumps(config))
    assert find_login("ghcr.io") == expected


@pytest.mark.parametrize("script", ["", "#!/bin/sh\necho 'secret-output' >&2\nexit 1\n"])
def test_a_helper_that_is_missing_or_fails_is_an_error(
    docker_directory: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    if script:
        helper = docker_directory / "docker-credential-test"
        helper.write_text(script)
        helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker_directory}:/usr/bin:/bin")
    (docker_directory / "config.json").write_text('{"credsStore": "test"}')
    with pytest.raises(PublishError, match="credential helper for ghcr") as caught:
        find_login("ghcr.io")
    assert "secret-output" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ['{"auths": {"ghcr.io": {"auth": "!"}}}', '{"auths": {"ghcr.io": 3}}', '{"auths": [1]}'],
)
def test_a_damaged_config_is_an_error(docker_directory: Path, text: str) -> None:
    (docker_directory / "config.json").write_text(text)
    with pytest.raises(PublishError, match="Docker's config") as caught:
        find_login("ghcr.io")
    assert caught.value.next == "docker login ghcr.io"


def test_no_config_is_no_login(docker_directory: Path) -> None:
    assert find_login("ghcr.io") is None


def test_the_hubs_login_is_found_under_its_old_name(docker_directory: Path) -> None:
    config = {"auths": {"https://index.docker.io/v1/": entry("robin", "s")}}
    (docker_directory / "config.json").write_text(json.dumps(config))
    assert find_login("docker.io") == Login(user="robin", secret="s")
    assert Repository.parse("oci://docker.io/robin").server == "registry-1.docker.io"


# --- what podman login has left


FILES = {
    "REGISTRY_AUTH_FILE": "named/logins.json",
    "podman's own": "XDG_RUNTIME_DIR/containers/auth.json",
    "where it looks besides": "XDG_CONFIG_HOME/containers/auth.json",
}


def left_by_podman(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str, content: object
) -> Path:
    path = tmp_path / FILES[which]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    if which == "REGISTRY_AUTH_FILE":
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(path))
    return path


@pytest.mark.parametrize("which", FILES)
def test_the_login_of_podman_is_found(
    docker_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    logins = {"ghcr.io": entry("robin", "a:b"), "cr.invalid": {"identitytoken": "refresh"}}
    left_by_podman(tmp_path, monkeypatch, which, {"auths": logins})
    assert find_login("ghcr.io/tools/static-curl") == Login(user="robin", secret="a:b")
    assert find_login("cr.invalid") == Login(identity="refresh")
    assert find_login("ghcr.io.invalid/tools") is None
    assert find_login("docker.io/robin") is None


def test_the_login_for_the_longest_part_of_a_name_counts(
    docker_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("ghcr.io", "ghcr.io/tools", "ghcr.io/tools/static-curl")
    logins = {name: entry(name, "x") for name in names}
    left_by_podman(tmp_path, monkeypatch, "podman's own", {"auths": logins})
    for asked, user in [
        ("ghcr.io", "ghcr.io"),
        ("ghcr.io/tool", "ghcr.io"),
        ("ghcr.io/tools", "ghcr.io/tools"),
        ("ghcr.io/tools/static-curl-2", "ghcr.io/tools"),
        ("ghcr.io/tools/static-curl", "ghcr.io/tools/static-curl"),
        ("ghcr.io/tools/static-curl/more", "ghcr.io/tools/static-curl"),
    ]:
        assert find_login(asked) == Login(user=user, secret="x")


def test_which_file_comes_first(
    docker_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = []
    for which in reversed(FILES):
        left_by_podman(tmp_path, monkeypatch, which, {"auths": {"ghcr.io": entry(which, "x")}})
        users.append(find_login("ghcr.io"))
    assert [login.user for login in users if login] == [*reversed(FILES)]
    monkeypatch.delenv("REGISTRY_AUTH_FILE")
    docker = {"auths": {"ghcr.io": entry("docker", "x")}}
    (docker_directory / "config.json").write_text(json.dumps(docker))
    assert find_login("ghcr.io") == Login(user="docker", secret="x")


def test_a_credential_helper_of_podman_is_asked(
    docker_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = docker_directory / "docker-credential-test"
    helper.write_text('#!/bin/sh\nread host\necho \'{"Username":"robin","Secret":"s"}\'\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker_directory}:/usr/bin:/bin")
    helpers = {"credHelpers": {"ghcr.io": "test"}}
    left_by_podman(tmp_path, monkeypatch, "podman's own", helpers)
    assert find_login("ghcr.io/tools") == Login(user="robin", secret="s")


@pytest.mark.parametrize("which", FILES)
@pytest.mark.parametrize(
    "text", ["", "[]", '{"auths": [1]}', '{"auths": {"ghcr.io": 3}}', '{"auths": {"ghcr.io": {"auth": "!"}}}']
)  # fmt: skip
def test_a_damaged_file_of_podmans_is_named(
    docker_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str, text: str
) -> None:
    path = left_by_podman(tmp_path, monkeypatch, which, text)
    with pytest.raises(PublishError, match=path.name) as caught:
        find_login("ghcr.io/tools")
    assert caught.value.next == "podman login ghcr.io"


def test_a_file_that_was_named_must_be_there(
    docker_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "gone.json"))
    with pytest.raises(PublishError, match=r"gone\.json") as caught:
        find_login("ghcr.io")
    assert caught.value.why == "No such file or directory"
