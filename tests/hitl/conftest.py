from collections.abc import Iterator
from pathlib import Path

import pytest

from hitl.client.training import TrainingClient
from hitl.events import Task
from tests.hitl.live import LiveRun, LiveService
from tests.hitl.playing import Play


@pytest.fixture(scope="module")
def cluster(service: LiveService) -> Iterator[TrainingClient]:
    with service.cluster() as client:
        client.register_task(Task(task_id="task", name="Task-v0", fingerprint="{}"))
        yield client


@pytest.fixture
def live_run(cluster: TrainingClient, request: pytest.FixtureRequest) -> LiveRun:
    return LiveRun(cluster.open_run(f"run-{request.node.name}"[:200], "task"), cluster)


@pytest.fixture
def own_service(tmp_path: Path, database: str | None) -> Iterator[LiveService]:
    """A service for one test, which may do to it what it likes."""
    live = LiveService(tmp_path / "folder", database)
    yield live
    live.kill()


@pytest.fixture
def own_run(own_service: LiveService) -> Iterator[LiveRun]:
    with own_service.open_run() as run:
        yield run


@pytest.fixture
def play(live_run: LiveRun) -> Iterator[Play]:
    """A stage in its first episode."""
    playing = Play.open(live_run)
    yield playing
    playing.player.close()
