"""The tasks: how long, how often, on which scale, and with which settings of either side.

Their settings are those that rl-baselines3-zoo publishes as tuned for PPO (`hyperparams/ppo.yml` at commit 208b6fd;
those of HalfCheetah-v4 and Hopper-v4 stand for v5). `expert` is the mean return that the same project publishes for
PPO at those settings (`benchmark.md`; HalfCheetah-v3 and Hopper-v3 stand for v5), `random` that of uniformly random
actions over 60 to 300 episodes.

Ours are parts of a run file, chosen on seeds from 100 on. MuJoCo is budgeted for two cores: 100,000 steps, of which
Stable-Baselines3 takes 6 to 18 minutes a seed. Its settings there were tuned for 1,000,000 steps, ours for these.
"""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An environment and what is compared on it."""

    env_steps: int
    """Both sides get these, rounded up to whole rollouts."""
    seeds: int
    random: float
    expert: float
    ours: dict[str, Any]
    """Parts of a run file."""
    sb3: dict[str, Any]
    """Arguments of Stable-Baselines3's PPO; `lin_x` is a number that falls in a straight line from x to 0."""
    sb3_envs: int
    sb3_normalises: bool = False
    """Observations and rewards, by its VecNormalize."""
    sb3_policy: dict[str, Any] = field(default_factory=dict)
    reached: float | None = None
    """The mean return whose time and steps are measured."""

    def normalised(self, score: float) -> float:
        """Bring a return to the scale on which random actions have 0 and the expert 1."""
        return (score - self.random) / (self.expert - self.random)

    def digest(self, contender: str) -> str:
        """Names one side's settings, so that results of other ones are not mixed in."""
        theirs = [self.sb3, self.sb3_envs, self.sb3_normalises, self.sb3_policy]
        settings = {"ours": [self.ours], "sb3": theirs}[contender]
        return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=4).hexdigest()


_MUJOCO_POLICY = {
    "log_std_init": -2,
    "ortho_init": False,
    "activation_fn": "relu",
    "net_arch": {"pi": [256, 256], "vf": [256, 256]},
}

TASKS = {
    "CartPole-v1": Task(
        env_steps=100_000,
        seeds=10,
        random=22.4,
        expert=500.0,
        reached=475.0,
        ours={
            "mode": "overlapped",
            "rollouts": {"env_runners": 1, "envs_per_runner": 8, "steps": 128},
            "learner": {"learning_rate": 2e-3, "gae_lambda": 0.95, "epochs": 4, "minibatch_size": 256},
        },
        sb3_envs=8,
        sb3={
            "n_steps": 32,
            "batch_size": 256,
            "gae_lambda": 0.8,
            "gamma": 0.98,
            "n_epochs": 20,
            "ent_coef": 0.0,
            "learning_rate": "lin_0.001",
            "clip_range": "lin_0.2",
        },
    ),
    "Acrobot-v1": Task(
        env_steps=200_000,
        seeds=10,
        random=-497.1,
        expert=-73.5,
        ours={
            "rollouts": {"envs_per_runner": 16, "steps": 128},
            "learner": {"learning_rate": 1e-3, "gae_lambda": 0.95, "epochs": 4, "minibatch_size": 256},
        },
        sb3_envs=16,
        sb3_normalises=True,
        sb3={"n_steps": 256, "gae_lambda": 0.94, "gamma": 0.99, "n_epochs": 4, "ent_coef": 0.0},
    ),
    "Pendulum-v1": Task(
        env_steps=100_000,
        seeds=10,
        random=-1238.5,
        expert=-172.2,
        ours={
            "rollouts": {"envs_per_runner": 8, "steps": 256},
            "learner": {
                "learning_rate": 1e-3,
                "discount": 0.9,
                "gae_lambda": 0.95,
                "epochs": 10,
                "minibatch_size": 256,
            },
        },
        sb3_envs=4,
        sb3={
            "n_steps": 1024,
            "gae_lambda": 0.95,
            "gamma": 0.9,
            "n_epochs": 10,
            "ent_coef": 0.0,
            "learning_rate": 1e-3,
            "clip_range": 0.2,
            "use_sde": True,
            "sde_sample_freq": 4,
        },
    ),
    "HalfCheetah-v5": Task(
        env_steps=100_000,
        seeds=5,
        random=-284.4,
        expert=5819.1,
        ours={
            "mode": "lockstep",
            "rollouts": {"env_runners": 0, "envs_per_runner": 1, "steps": 512},
            "policy": {
                "hidden": [256, 256],
                "activation": "relu",
                "initial_log_std": -2.0,
                "normalise_observations": True,
            },
            "learner": {
                "learning_rate": 3e-4,
                "normalise_rewards": True,
                "discount": 0.98,
                "gae_lambda": 0.92,
                "epochs": 10,
                "minibatch_size": 64,
            },
        },
        sb3_envs=1,
        sb3_normalises=True,
        sb3={
            "batch_size": 64,
            "n_steps": 512,
            "gamma": 0.98,
            "learning_rate": 2.0633e-05,
            "ent_coef": 0.000401762,
            "clip_range": 0.1,
            "n_epochs": 20,
            "gae_lambda": 0.92,
            "max_grad_norm": 0.8,
            "vf_coef": 0.58096,
        },
        sb3_policy=_MUJOCO_POLICY,
    ),
    "Hopper-v5": Task(
        env_steps=100_000,
        seeds=5,
        random=18.5,
        expert=2410.4,
        ours={
            "mode": "lockstep",
            "rollouts": {"env_runners": 0, "envs_per_runner": 4, "steps": 128},
            "policy": {"normalise_observations": True},
            "learner": {
                "learning_rate": 3e-4,
                "normalise_rewards": True,
                "discount": 0.999,
                "gae_lambda": 0.99,
                "epochs": 10,
                "minibatch_size": 64,
            },
        },
        sb3_envs=1,
        sb3_normalises=True,
        sb3={
            "batch_size": 32,
            "n_steps": 512,
            "gamma": 0.999,
            "learning_rate": 9.80828e-05,
            "ent_coef": 0.00229519,
            "clip_range": 0.2,
            "n_epochs": 5,
            "gae_lambda": 0.99,
            "max_grad_norm": 0.7,
            "vf_coef": 0.835671,
        },
        sb3_policy=_MUJOCO_POLICY,
    ),
}
