"""The service that benchmarks start."""

import socket
import urllib.request
from typing import Any

import pytest

from benchmarks import feedback_service as module
from benchmarks.feedback_service import feedback_service
from hitl.client.training import TrainingClient
from hitl.errors import NotFound


def test_it_serves_who_has_a_token_until_it_ends() -> None:
    with feedback_service() as place:
        assert place.folder.is_dir()
        with (
            TrainingClient(place.address, place.token("driver", "cluster")) as client,
            pytest.raises(NotFound),
        ):
            client.get_run("nobody opened it")
        with urllib.request.urlopen(f"http://{place.metrics_address}/metrics") as response:
            assert b"hitl_feedback" in response.read()
    assert not place.folder.exists()
    host, _, port = place.address.rpartition(":")
    with pytest.raises(OSError, match=r".+"):
        socket.create_connection((host, int(port)), timeout=1.0)


def test_one_that_cannot_start_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    started = module.subprocess.Popen

    def cannot(command: list[str], **options: Any) -> Any:
        return started([*command[:1], "-c", "raise SystemExit(3)"], **options)

    monkeypatch.setattr(module.subprocess, "Popen", cannot)
    with pytest.raises(RuntimeError, match="code 3"), feedback_service():
        pass
