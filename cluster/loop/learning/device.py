"""Where the learner computes, and in which precision: whatever was measured to be fastest for its network."""

import dataclasses
from typing import NamedTuple

import torch

from cluster.environments.making import spaces_of
from cluster.runs.config import RunConfig
from hitl.errors import ConfigError
from policies.descent.timing import seconds_per_step
from policies.networks import ActorCritic
from policies.networks.convolutional import has_convolutions, set_precision
from policies.settings import PrecisionName, UpdateSettings
from policies.threads import threads

_Way = tuple[str, PrecisionName]


class Device(NamedTuple):
    """A choice, and why."""

    name: str
    """cpu or cuda."""
    because: str
    precision: PrecisionName = "float32"
    """Of convolutions."""

    def __str__(self) -> str:
        """Return it as one line."""
        precision = "" if self.precision == "float32" else f" in {self.precision}"
        return f"{self.name}{precision}: {self.because}"


def choose_device(run: RunConfig, settings: UpdateSettings) -> Device:
    """Choose where the learner computes.

    Raises:
        ConfigError: CUDA is asked for, and there is none.
    """
    learner, there = run.learner, torch.cuda.is_available()
    if learner.device == "cuda" and not there and not learner.learners:
        raise ConfigError(
            "learner.device is cuda, but torch finds no CUDA device here; set it to auto or cpu, "
            "or install a build of torch for CUDA"
        )
    devices, because = [learner.device], "learner.device says so"
    if learner.device == "auto":
        devices, because = (["cpu", "cuda"], "") if there else (["cpu"], "there is no CUDA device here")
    precisions: list[PrecisionName] = ["float32", "bfloat16"]
    if learner.precision != "auto":
        precisions = [learner.precision]
    elif run.policy.recurrent or run.mode == "lockstep" or not there or "cuda" not in devices:
        # In lockstep no clock may decide about bits.
        precisions = ["float32"]
    if len(devices) == len(precisions) == 1:
        return Device(devices[0], because, precisions[0])
    space, actions = spaces_of(run.environment)
    network = ActorCritic(space, actions, **run.policy.model_dump())
    if not has_convolutions(network):
        precisions = precisions[:1]
    if len(devices) > 1 and (run.mode == "lockstep" or run.policy.recurrent):
        devices = ["cuda" if has_convolutions(network) else "cpu"]
        reason = "in lockstep no clock decides" if run.mode == "lockstep" else "memories are not measured"
        because = f"{reason}: convolutions learn on CUDA, other networks on the CPU"
    # Where a choice is left to us, a CPU computes in float32.
    ways = [(d, p) for d in devices for p in (precisions if d == "cuda" else precisions[:1])]
    if len(ways) == 1:
        return Device(devices[0], because, precisions[0])
    settings = dataclasses.replace(settings, reference_coefficient=0.0)
    rows = settings.minibatch_size if learner.takes_minibatches else run.batch_steps
    seconds: dict[_Way, float] = {}
    for name, precision in ways:
        set_precision(network, precision)
        # As the learner will: on one thread.
        with threads(1):
            seconds[name, precision] = seconds_per_step(
                network, space, settings, rows=rows, device=torch.device(name)
            )
    name, precision = min(ways, key=lambda way: seconds[way])
    times = ", ".join(
        f"{1e3 * value:.2f} ms on {name}{' in ' + precision if len(precisions) > 1 else ''}"
        for (name, precision), value in seconds.items()
    )
    return Device(name, f"a gradient step was measured at {times}", precision)
