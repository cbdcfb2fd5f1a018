"""Runs inside the peer's environment: `imitation`'s DAgger, one JSON line for each of its rounds.

    python -m benchmarks.dagger.peer_worker --task cartpole --seed 0

Nothing of the peer is changed: `SimpleDAggerTrainer` with its own behaviour cloning (Adam with 1e-3, batches of 32,
4 epochs over all labels after each round) and its own schedule (beta falls linearly over 15 rounds). Chosen for it are
only the length of its rounds and its network, see `benchmarks.dagger.peer.Choice`. Its own episodes for the log are
left out: they ask the expert nothing.
"""

import argparse
import contextlib
import json
import tempfile
from importlib.metadata import version
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from imitation.algorithms import bc  # type: ignore[import-not-found]
from imitation.algorithms.dagger import SimpleDAggerTrainer  # type: ignore[import-not-found]
from imitation.policies import base  # type: ignore[import-not-found]
from imitation.util import logger, networks  # type: ignore[import-not-found]
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import Tensor

from benchmarks.dagger.experts import labels_of
from benchmarks.dagger.tasks import TASKS, Task, returns_of

PACKAGES = ("imitation", "stable-baselines3", "gymnasium", "numpy", "torch")


class CountedExpert(BasePolicy):
    """A scripted expert as a policy of Stable-Baselines3; counts the observations that it is asked about."""

    def __init__(self, task: Task, env: gym.Env[Any, Any]) -> None:
        super().__init__(env.observation_space, env.action_space)
        self._expert = task.expert
        self.labels = 0

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        self.labels += len(observation)
        return torch.as_tensor(labels_of(self._expert, observation.numpy()))


class _Enough(Exception):
    """The task is learnt, or the labels are spent."""


def _network(env: gym.Env[Any, Any], *, normalised: bool) -> Any:
    """Return a policy as `imitation` makes it, which puts observations on one scale only where it is told to."""
    extractor: dict[str, Any] = {}
    if normalised:
        extractor = {
            "features_extractor_class": base.NormalizeFeaturesExtractor,
            "features_extractor_kwargs": {"normalize_class": networks.RunningNorm},
        }
    return base.FeedForward32Policy(
        observation_space=env.observation_space,
        action_space=env.action_space,
        # Its own optimiser is never used, as in `imitation`'s BC.
        lr_schedule=lambda _: torch.finfo(torch.float32).max,
        **extractor,
    )


def train(task: Task, options: argparse.Namespace) -> None:
    """Train until a round's greedy policy reaches the score, or the labels are spent; prints a line for each round."""
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    env = gym.make(task.env_id)
    envs = DummyVecEnv([lambda: env])
    envs.seed(options.seed)
    expert = CountedExpert(task, env)
    network = _network(env, normalised=options.normalised)
    with tempfile.TemporaryDirectory() as folder:
        quiet = logger.configure(folder, ["log"])
        trainer = SimpleDAggerTrainer(
            venv=envs,
            scratch_dir=folder,
            expert_policy=expert,
            rng=rng,
            custom_logger=quiet,
            bc_trainer=bc.BC(
                observation_space=env.observation_space,
                action_space=env.action_space,
                rng=rng,
                policy=network,
                device="cpu",
                custom_logger=quiet,
            ),
        )
        update = trainer.extend_and_update

        def update_and_judge(*arguments: Any) -> int:
            round_number: int = update(*arguments)
            returns = returns_of(lambda seen: network.predict(seen, deterministic=True)[0], task.env_id)
            score = task.normalised(float(returns.mean()))
            _print(round=round_number, labels=expert.labels, true_return=float(returns.mean()), score=score)
            if score >= options.until or expert.labels >= options.most_labels:
                raise _Enough
            return round_number

        trainer.extend_and_update = update_and_judge
        with contextlib.suppress(_Enough):
            trainer.train(
                options.most_labels,
                rollout_round_min_episodes=options.round_episodes,
                rollout_round_min_timesteps=options.round_labels,
                bc_train_kwargs={"progress_bar": False, "log_rollouts_venv": None},
            )


def _print(**row: Any) -> None:
    print(json.dumps(row), flush=True)


def main() -> None:
    """Say the versions, then train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--round-episodes", type=int, default=3, help="at least, in each round")
    parser.add_argument("--round-labels", type=int, default=500, help="at least, in each round")
    parser.add_argument("--normalised", action="store_true", help="observations are, by running statistics")
    parser.add_argument("--most-labels", type=int, default=20_000)
    parser.add_argument("--until", type=float, default=float("inf"), help="normalised score that ends it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    task = TASKS[options.task]
    expert_NO = returns_of(lambda seen: labels_of(task.expert, seen), task.env_id)
    _print(versions={name: version(name) for name in PACKAGES}, expert_return=float(expert_NO.mean()))
    train(task, options)


if __name__ == "__main__":
    main()
