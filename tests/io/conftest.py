"""A server of one's own for every test of the network, and a place for what it serves."""

from pathlib import Path

import pytest

from tests.factories.http_server import running


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running() as server:
        yield server


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "cache" / "file.pth"
