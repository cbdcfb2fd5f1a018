"""How many threads matrix products take."""

import torch
from threadpoolctl import threadpool_limits


def use_threads(count: int) -> None:
    """Let torch and NumPy compute on so many threads in this process.

    Networks as small as those that people teach are fastest on one, and the other processors are needed by other
    processes.
    """
    torch.set_num_threads(count)
    threadpool_limits(count, user_api="blas")
