"""Where the learner computes: on what was measured to be faster for its network."""

import dataclasses
from typing import NamedTuple

import torch

from cluster.environments.making import make
from cluster.runs.config import RunConfig
from hitl.errors import ConfigError
from policies.descent.timing import seconds_per_step
from policies.networks import ActorCritic
from policies.settings import UpdateSettings


class Device(NamedTuple):
    """A choice, and why."""

    name: str
    """cpu or cuda."""
    because: str

    def __str__(self) -> str:
        """Return both as one line."""
        return f"{self.name}: {self.because}"


def choose_device(run: RunConfig, settings: UpdateSettings) -> Device:
    """Choose where the learner computes.

    Raises:
        ConfigError: CUDA is asked for, and there is none.
    """
    asked, there = run.learner.device, torch.cuda.is_available()
    if asked == "cuda" and not there and not run.learner.learners:
        raise ConfigError(
            "learner.device is cuda, but torch finds no CUDA device here; set it to auto or cpu, "
            "or install a build of torch for CUDA"
        )
    if asked != "auto":
        return Device(asked, "learner.device says so")
    if not there:
        return Device("cpu", "there is no CUDA device here")
    if run.policy.recurrent:
        return Device("cuda", "there is a CUDA device; a recurrent policy is not measured")
    return _faster(run, settings)


def _faster(run: RunConfig, settings: UpdateSettings) -> Device:
    env = make(run.environment)
    settings = dataclasses.replace(settings, reference_coefficient=0.0)
    network = ActorCritic(env.observation_space, env.action_space, **run.policy.model_dump())
    seconds = {
        name: seconds_per_step(network, env.observation_space, settings, device=torch.device(name))
        for name in ("cpu", "cuda")
    }
    env.close()  # type: ignore[no-untyped-call]
    name = min(seconds, key=lambda name: seconds[name])
    times = ", ".join(f"{1e3 * value:.2f} ms on {name}" for name, value in seconds.items())
    return Device(name, f"a gradient step was measured at {times}")
