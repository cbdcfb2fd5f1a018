"""Policies of every kind, with opinions, and programs that run without Handrail."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from cluster.export.verification import random_observations
from policies.networks import ActorCritic
from tests.cluster.identities import SPACES

_NARROW = spaces.Box(np.array([-0.1, -np.inf], np.float32), np.array([0.2, np.inf], np.float32))
KINDS: dict[str, tuple[tuple[Any, Any], dict[str, Any]]] = {
    "discrete": (SPACES["discrete"], {}),
    "multi discrete": (SPACES["multi discrete"], {}),
    "box": ((spaces.Box(-1, 1, (3,)), _NARROW), {}),
    "image": (SPACES["image"], {"filters": [[4, 3, 2]], "image_features": 16}),
    "dict": (SPACES["dict"], {"shared": True, "normalise_observations": True, "filters": [[4, 3, 2]]}),
    "recurrent": ((spaces.Box(-2, 2, (3,)), _NARROW), {"recurrent": 5, "normalise_observations": True}),
    "normalised": ((spaces.Box(-np.inf, np.inf, (3,)), SPACES["box"][1]), {"normalise_observations": True}),
}


def opinionated(kind: str) -> ActorCritic:
    """A policy that answers one observation otherwise than the next, and has seen some."""
    (observation_space, action_space), settings = KINDS[kind]
    torch.manual_seed(0)
    network = ActorCritic(observation_space, action_space, hidden=(8,), **settings)
    network.observe(3 + 2 * torch.from_numpy(random_observations(observation_space, 50)))
    with torch.no_grad():
        network.policy[-1].weight.mul_(100)
        network.policy[-1].bias.zero_()
        network.log_scale.uniform_(-1, 1)
    return network


def greedy(network: ActorCritic, action_space: Any, observation_NO: Any) -> Any:
    """What the environment is given."""
    with torch.no_grad():
        action = network.act_greedily(torch.from_numpy(observation_NO)).numpy()
    return (
        action.clip(action_space.low, action_space.high) if isinstance(action_space, spaces.Box) else action
    )


def run_without(modules: set[str], program: str, folder: Path) -> str:
    """Run a program that cannot import these modules; returns what it prints."""
    blocker = (
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name.partition('.')[0] in {modules}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", blocker + program],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
