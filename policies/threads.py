"""How many threads matrix products take."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


def use_threads(count: int) -> None:
    """Let torch and NumPy compute on so many threads in this process.

    Networks as small as those that people teach are fastest on one, and the other processors are needed by other
    processes.
    """
    torch.set_num_threads(count)
    threadpool_limits(count, user_api="blas")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute on so many threads within a block, and on as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
