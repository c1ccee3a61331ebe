"""An S3 emulator on loopback: a server in a process of its own, and a bucket for each test that asks for one.

The server is that of moto. It looks whether an object is there, and then writes it, without a lock between: two
writers that both ask for `If-None-Match: *`, as Delta's commits do, could both succeed. Here one request is answered
after the other, which makes the condition hold, as it does on S3.
"""

from __future__ import annotations

import http.client
import importlib.util
import io
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["s3", "s3_server"]

NAMES = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of the emulator, which runs until the tests end, or until they are killed."""
    if importlib.util.find_spec("moto") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("moto is not installed: the tests on S3 must not be left out here")
        pytest.skip("NOT TESTED ON S3: moto is not installed")
    with subprocess.Popen(
        [sys.executable, str(Path(__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        assert port.isdigit(), "the S3 emulator did not start"
        yield f"http://127.0.0.1:{port}"
        server.stdin.close()  # that is what it waits for
        server.wait(timeout=30)


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty bucket, `s3://NAME`, with the environment set so that this and child processes reach it."""
    bucket = f"lake-{uuid.uuid4().hex[:12]}"
    connection = http.client.HTTPConnection(s3_server.removeprefix("http://"), timeout=30)
    connection.request("PUT", f"/{bucket}")
    assert connection.getresponse().status == 200
    connection.close()
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    return f"s3://{bucket}"


def one_at_a_time(application: WSGIApplication) -> WSGIApplication:
    """Return the application, answering one request after the other; bodies come in, and go out, side by side."""
    turn = threading.Lock()

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        stream = environ["wsgi.input"]
        length = environ.get("CONTENT_LENGTH")
        if length or environ.get("wsgi.input_terminated"):
            environ["wsgi.input"] = io.BytesIO(stream.read(int(length)) if length else stream.read())
        with turn:
            chunks = application(environ, start_response)
            try:
                return list(chunks)
            finally:
                close = getattr(chunks, "close", None)
                if close is not None:
                    close()

    return answer


def serve() -> None:
    """Serve on a free port, which is printed, until the standard input ends."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application = one_at_a_time(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    serve()
