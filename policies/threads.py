"""How many threads matrix products take."""

import torch
from threadpoolctl import threadpool_limits


def one_thread() -> None:
    """Let torch and NumPy compute on one thread in this process.

    Networks as small as those that people teach lose by more, and the other processors are needed by other processes.
    """
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
