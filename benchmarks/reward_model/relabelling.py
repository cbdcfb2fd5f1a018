"""How fast whole batches are relabelled, beside the matrix products in it alone."""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from cluster.runs.reward.model import RewardModelConfig
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from policies.threads import use_threads

LEAST_SHARE = 0.6
STEPS, ENVIRONMENTS, REPEATS = 128, 32, 15
NETWORKS = {"default": tuple(RewardModelConfig().hidden), "3x256": (256, 256, 256)}
SPACE = InputSpace(observation_size=4, action_size=2, discrete=True)


def measure() -> dict[str, Any]:
    """Return the rates of both in floating-point operations a second, one thread, in turns; and their ratio."""
    use_threads(1)
    return {name: _measure(hidden) for name, hidden in NETWORKS.items()}


@torch.no_grad()
def _measure(hidden: Sequence[int]) -> dict[str, Any]:
    torch.manual_seed(0)
    members, rows = RewardModelConfig().members, STEPS * ENVIRONMENTS
    ensemble = RewardEnsemble(SPACE, members=members, hidden=hidden)
    shapes = list(itertools.pairwise([SPACE.size, *hidden, 1]))
    operations = 2 * members * rows * sum(inputs * outputs for inputs, outputs in shapes)
    seen, action = torch.randn(STEPS, ENVIRONMENTS, 4), torch.randint(2, (STEPS, ENVIRONMENTS))
    products = [(torch.randn(members, rows, i), torch.randn(members, i, o)) for i, o in shapes]
    results = [torch.empty(members, rows, o) for _, o in shapes]

    def multiply() -> None:
        for (left, right), result in zip(products, results, strict=True):
            torch.bmm(left, right, out=result)

    seconds: dict[str, list[float]] = {"relabelling": [], "products": []}
    for _ in range(REPEATS):
        seconds["relabelling"].append(_seconds(lambda: ensemble.reward(seen, action)))
        seconds["products"].append(_seconds(multiply))
    rates = {what: operations / statistics.median(taken) for what, taken in seconds.items()}
    return {
        "gigaflops": {what: round(rate / 1e9, 2) for what, rate in rates.items()},
        "share": round(rates["relabelling"] / rates["products"], 4),
    }


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def passed(figures: dict[str, Any]) -> bool:
    """Whether relabelling is as fast as it is to be, with each network."""
    return all(one["share"] >= LEAST_SHARE for one in figures.values())
