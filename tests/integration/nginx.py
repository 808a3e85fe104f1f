"""NGINX as a server of a test's own, in one process that needs no rights."""

from collections.abc import Sequence

from tests.integration.real_server import Server, program

CONF = """
daemon off; master_process off; pid {directory}/pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {directory}/t; proxy_temp_path {directory}/t; fastcgi_temp_path {directory}/t;
    uwsgi_temp_path {directory}/t; scgi_temp_path {directory}/t;
    {http}
}}
"""


def start_nginx(server: Server, http: str, *, words: Sequence[str] = ()) -> None:
    """Start it with ``http`` in its block of that name, and wait until it listens.

    Whoever it runs as may read what lies in the server's directory. ``words`` start another one than the machine's.
    """
    conf = server.directory / "conf"
    conf.write_text(CONF.format(directory=server.directory, http=http))
    for path in server.directory.iterdir():
        path.chmod(0o644)
    words = words or (program("nginx"),)
    server.start(*words, "-p", server.directory, "-c", conf, "-e", "stderr")
    server.listens()
