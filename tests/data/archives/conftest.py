import threading

import pytest

from tests.support.misbehaving_server import Server


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
        assert not server.errors  # an assertion in an answer


@pytest.fixture
def target(tmp_path):
    return tmp_path / "data" / "cholec80.tar.gz"
