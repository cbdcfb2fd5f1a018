"""Runs inside the peer's environment: the reward trainer of `imitation`'s preference comparisons, on the same answers.

Nothing of the peer is changed: `BasicRewardNet` (2x32, inputs on one scale), `BasicRewardTrainer` with its batches of
32, its Adam with 1e-3 and its 3 epochs over all answers whenever it is retrained. At first it sees them for
`FIRST_EPOCHS` times as long, as its own first training does. Each line read is a retraining, answered by its cost.
"""

import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from imitation.algorithms import preference_comparisons  # type: ignore[import-not-found]
from imitation.data.types import TrajectoryWithRew  # type: ignore[import-not-found]
from imitation.rewards.reward_nets import BasicRewardNet  # type: ignore[import-not-found]
from imitation.util import logger  # type: ignore[import-not-found]
from imitation.util.networks import RunningNorm  # type: ignore[import-not-found]

from benchmarks.reward_model.answers import FIRST, HELDOUT, NEW, STEPS, Answers
from benchmarks.reward_model.lines import say

EPOCHS, FIRST_EPOCHS = 3, 10


def main() -> None:
    """Learn the first answers, then retrain on demand."""
    torch.set_num_threads(1)
    told, seed, folder = Answers.load(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
    torch.manual_seed(seed)
    env = gym.make("CartPole-v1")
    network = BasicRewardNet(env.observation_space, env.action_space, normalize_input_layer=RunningNorm)
    preferences = preference_comparisons.PreferenceModel(network)
    quiet = logger.configure(folder, ["log"])
    trainer = preference_comparisons.BasicRewardTrainer(
        preference_model=preferences,
        loss=preference_comparisons.CrossEntropyRewardLoss(),
        rng=np.random.default_rng(seed),
        epochs=EPOCHS,
        custom_logger=quiet,
    )
    dataset = preference_comparisons.PreferenceDataset()
    known = 0

    def learn(count: int, multiplier: float = 1.0) -> None:
        nonlocal known
        pairs = range(known, known + count)
        dataset.push(
            [tuple(_fragment(told, int(row)) for row in told.pair_P2[pair]) for pair in pairs],
            told.first_P[known : known + count].astype(np.float32),
        )
        known += count
        # As `PreferenceComparisons.train` does around it.
        with quiet.accumulate_means("reward"):
            trainer.train(dataset, epoch_multiplier=multiplier)

    began = time.process_time()
    learn(FIRST, FIRST_EPOCHS)
    say(seconds=time.process_time() - began, log_loss=_log_loss(network, told))
    for _ in sys.stdin:
        began = time.process_time()
        learn(NEW)
        say(seconds=time.process_time() - began, log_loss=_log_loss(network, told))


def _fragment(told: Answers, row: int) -> Any:
    seen = np.concatenate([told.observation_SLO[row], told.following_SLO[row, -1:]])
    return TrajectoryWithRew(
        obs=seen, acts=told.action_SL[row], infos=None, terminal=False, rews=np.zeros(STEPS, np.float32)
    )


def _log_loss(network: Any, told: Answers) -> float:
    """Return the mean log-loss on the pairs that only judge, in nats."""
    pair_P2, first_P = told.pair_P2[-HELDOUT:], told.first_P[-HELDOUT:]
    seen, done = told.observation_SLO.reshape(-1, 4), told.action_SL.reshape(-1)
    reward = network.predict(seen, done, told.following_SLO.reshape(-1, 4), np.zeros(len(done), bool))
    return_S = reward.reshape(-1, STEPS).sum(1, dtype=np.float64)
    difference_P = return_S[pair_P2[:, 0]] - return_S[pair_P2[:, 1]]
    return float(np.logaddexp(0, np.where(first_P, -difference_P, difference_P)).mean())


if __name__ == "__main__":
    main()
