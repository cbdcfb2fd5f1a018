from collections.abc import Iterator

import pytest

from policies.threads import use_threads
from tests.hitl.live import LiveService

use_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the traces in tests/golden anew instead of comparing",
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """A service that the tests of one file share; each opens a run of its own."""
    live = LiveService(tmp_path_factory.mktemp("service") / "folder")
    yield live
    live.kill()
