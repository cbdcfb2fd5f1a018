"""Starting Ray on this machine, or joining the cluster that the surroundings name."""

import logging
import os

import ray


def start_ray(*, cpus: int) -> None:
    """Connect this process to Ray: the cluster at RAY_ADDRESS, or one that is started here.

    Args:
        cpus: that a Ray started here has to give away, at least; it has one for each processor.
    """
    # Ray's usage report is slow to give up where there is no way out.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # By itself Ray lets its workers stand behind other processes: env runners would oversleep while a learner works.
    os.environ.setdefault("RAY_worker_niceness", "0")
    address = os.environ.get("RAY_ADDRESS")
    local = {} if address else {"num_cpus": max(os.cpu_count() or 1, cpus)}
    ray.init(
        address=address,
        namespace="handrail",
        include_dashboard=None if address else False,
        logging_level=logging.WARNING,
        ignore_reinit_error=True,
        **local,
    )
