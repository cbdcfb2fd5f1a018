"""A computation whose inputs and outputs have fixed places in memory, as a function of tensors that lie anywhere."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def on_other_values(
    run: Callable[[], None], places: list[Tensor], outputs: Tensor | Sequence[Tensor]
) -> Callable[..., Any]:
    """Return a function of as many tensors as there are places; what it returns is the caller's.

    Args:
        run: computes the outputs from what the places hold.
        places: where values are copied to.
        outputs: where the results are after a run.
    """

    def call(*values: Tensor) -> Any:
        torch._foreach_copy_(places, values, non_blocking=True)
        run()
        return outputs.clone() if isinstance(outputs, Tensor) else tuple(output.clone() for output in outputs)

    return call
