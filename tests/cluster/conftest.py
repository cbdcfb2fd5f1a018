import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_session() -> Iterator[str]:
    """One local Ray for all tests of the session; its address, for other processes."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, namespace="handrail-tests")
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()
