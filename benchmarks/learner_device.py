"""How fast the learner's gradient steps are: the CPU, and where there is one a CUDA device, eager against one graph.

    python -m benchmarks.learner_device

Pure torch, without Ray. PPO's clipped objective on made-up experience that lies on the device: two layers of 64 tanh
units with a batch of 65,536 steps, and the Nature CNN on 84x84x4 bytes with one of 4,096. Minibatches go through the
batch in epochs, each of which shuffles it. Eager is autograd with the same Adam; ours is the traced step, on CUDA
captured as a graph; with convolutions also in bfloat16. Rounds take turns between the ways; figures are medians over
rounds. Steps a second are environment steps that could be learnt from in 4 epochs, with nothing but these. The peak is
that of a matrix product of 2,048 x 2,048 in the way's own precision, measured here. The last line is one JSON object.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from policies.descent.timing import made_up_batch, seconds_per_step
from policies.networks import ActorCritic
from policies.networks.convolutional import has_convolutions, set_precision
from policies.settings import UpdateSettings
from policies.threads import use_threads

EPOCHS, FULL_ROUNDS = 4, 5
VECTOR = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)
IMAGE = gym.spaces.Box(0, 255, (84, 84, 4), np.uint8)
CASES: dict[str, tuple[gym.Space[Any], int, int, dict[str, Any]]] = {
    "mlp_2x64": (VECTOR, 65_536, 8_192, {"hidden": (64, 64)}),
    "mlp_2x64_small_minibatch": (VECTOR, 65_536, 256, {"hidden": (64, 64)}),
    "nature_cnn": (IMAGE, 4_096, 256, {"hidden": (), "shared": True, "activation": "relu"}),
}
"""Observations, steps of a batch, of a minibatch, and the network."""


def settings(minibatch: int) -> UpdateSettings:
    return UpdateSettings(
        discount=0.99,
        gae_lambda=0.95,
        clip=0.2,
        epochs=EPOCHS,
        minibatch_size=minibatch,
        value_coefficient=0.5,
        entropy_coefficient=0.01,
        max_gradient_norm=0.5,
    )


def flops_of_step(network: ActorCritic, space: gym.Space[Any], minibatch: int) -> int:
    """Return the floating-point operations of forward and backward, counted."""
    batch = made_up_batch(network, space, minibatch)
    with FlopCounterMode(display=False) as counter:
        heads = network(batch.observation_BO)
        (heads.output.sum() + heads.value.sum()).backward()
    return int(counter.get_total_flops())


def peak_flops(device: torch.device, dtype: torch.dtype, seconds: float = 1.0) -> float:
    """Return the floating-point operations a second of a large matrix product."""
    left, right = torch.randn(2, 2048, 2048, device=device).to(dtype)
    wait: Callable[[], Any] = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    left @ right
    wait()
    products, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        left @ right
        wait()
        products += 1
    return products * 2 * 2048**3 / (time.perf_counter() - start)


def measure(case: str, device: torch.device, rounds: int, repeats: int) -> dict[str, Any]:
    space, batch, minibatch, model = CASES[case]
    network = ActorCritic(space, gym.spaces.Discrete(2), **model)
    seconds: dict[str, list[float]] = {"eager": [], "ours": []}
    if has_convolutions(network):
        seconds["ours_bfloat16"] = []
    for _ in range(rounds):
        for way, times in seconds.items():
            set_precision(network, "bfloat16" if way == "ours_bfloat16" else "float32")
            times.append(
                seconds_per_step(
                    network,
                    space,
                    settings(minibatch),
                    rows=batch,
                    device=device,
                    repeats=repeats if minibatch < 1024 and space is VECTOR else max(repeats // 10, 3),
                    traced=way != "eager",
                )
            )
    set_precision(network, "float32")
    median = {way: statistics.median(times) for way, times in seconds.items()}
    flops = flops_of_step(network, space, minibatch)
    peaks = {
        way: peak_flops(device, torch.bfloat16 if way == "ours_bfloat16" else torch.float32)
        for way in seconds
    }
    ratios = [eager / ours for eager, ours in zip(seconds["eager"], seconds["ours"], strict=True)]
    return {
        "minibatch": minibatch,
        "batch": batch,
        "milliseconds_per_minibatch": {way: round(1e3 * value, 3) for way, value in median.items()},
        "steps_per_second": {way: round(minibatch / value / EPOCHS) for way, value in median.items()},
        "share_of_peak": {way: round(flops / value / peaks[way], 3) for way, value in median.items()},
        "eager_over_ours": round(statistics.median(ratios), 2),
        "peak_gflops": {way: round(peak / 1e9) for way, peak in peaks.items()},
    }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=FULL_ROUNDS)
    parser.add_argument("--repeats", type=int, default=100, help="steps of a round, of small minibatches")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU")
    options = parser.parse_args()
    use_threads(options.threads)
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    figures: dict[str, Any] = {}
    for device in devices:
        figures[device] = {}
        for case in CASES:
            measured = measure(case, torch.device(device), options.rounds, options.repeats)
            print(device, case, json.dumps(measured), file=sys.stderr, flush=True)
            figures[device][case] = measured
    figures |= {
        "rounds": options.rounds,
        "threads": options.threads,
        "gpu": torch.cuda.get_device_name() if len(devices) > 1 else None,
        "versions": {name: version(name) for name in ("torch", "numpy")},
        "machine": platform.machine(),
    }
    print(json.dumps({"name": "learner_device", "goal": None, "figures": figures, "passed": None}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
