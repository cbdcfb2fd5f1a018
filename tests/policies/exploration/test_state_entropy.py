"""The reward for novelty against a slow version in plain loops, and what it makes of a space."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from policies.exploration import state_entropy
from policies.exploration.state_entropy import StateEntropy
from policies.steps import Steps, steps_on
from tests.policies.rollouts import COLUMNS, OBSERVATION, STEPS, made_up_rollout, waves

CPU = torch.device("cpu")
NEIGHBOURS = 3


def _made(states: int = 100, *, size: int = OBSERVATION, seed: int = 0) -> StateEntropy:
    return StateEntropy(size, neighbours=NEIGHBOURS, states=states, seed=seed, device=CPU)


def _steps(phase: float = 0.0, **changes: Any) -> Steps:
    observation = waves(STEPS + 1, COLUMNS, OBSERVATION, phase=phase) * np.float32([1.0, 5.0, 0.1]) + 2
    return steps_on(CPU, made_up_rollout(observation_TNO=observation, **changes))


def _followed(steps: Steps) -> np.ndarray[Any, Any]:
    """Where each step led to, [P, O], in double."""
    following = [[steps.shown_TNO[t + 1, n] for n in range(COLUMNS)] for t in range(STEPS)]
    for index, final in zip(steps.final_index_K.tolist(), steps.final_observation_KO, strict=True):
        following[index // COLUMNS][index % COLUMNS] = final
    return np.array([[float(x) for x in state] for row in following for state in row]).reshape(
        -1, OBSERVATION
    )


def _slowly(judged: np.ndarray[Any, Any], kept: np.ndarray[Any, Any]) -> list[float]:
    """PEBBLE, section 4.1: the distance to the k-th nearest neighbour, here as log(1 + it), in units of each axis."""
    axes = range(kept.shape[1])
    mean = [sum(state[i] for state in kept) / len(kept) for i in axes]
    std = [math.sqrt(sum((state[i] - mean[i]) ** 2 for state in kept) / len(kept) + 1e-8) for i in axes]

    def normalised(state: Any) -> list[float]:
        return [min(max((state[i] - mean[i]) / std[i], -10.0), 10.0) for i in axes]

    rewards = []
    for state in judged:
        here, distances = normalised(state), []
        for other in kept:
            there = normalised(other)
            distances.append(math.sqrt(sum((here[i] - there[i]) ** 2 for i in axes)))
        rewards.append(math.log(1 + sorted(distances)[NEIGHBOURS - 1]))
    return rewards


def _counted(steps: Steps) -> np.ndarray[Any, Any]:
    followed = _followed(steps)
    return followed if steps.counts_TN is None else followed[steps.counts_TN.flatten().numpy() > 0]


@pytest.mark.parametrize("chunk", [2**22, 150], ids=["at once", "in chunks"])
def test_each_reward_is_that_of_a_loop(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_entropy, "_CHUNK", chunk)
    entropy, seen, now = _made(), _steps(), _steps(phase=0.4)
    entropy.observe(seen)
    expected = _slowly(_followed(now), _counted(seen))
    torch.testing.assert_close(
        entropy(now).double().flatten(), torch.tensor(expected, dtype=torch.float64), rtol=1e-4, atol=1e-5
    )


def test_the_scale_is_the_deviation_of_the_rewards_so_far() -> None:
    entropy, first, second, now = _made(), _steps(), _steps(phase=0.4), _steps(phase=0.9)
    entropy.observe(first)
    entropy.observe(second)
    both = np.concatenate([_counted(first), _counted(second)])
    deviation = np.std(_slowly(_counted(second), _counted(first)))
    expected = torch.tensor(_slowly(_followed(now), both) / deviation)
    torch.testing.assert_close(entropy(now).double().flatten(), expected, rtol=1e-4, atol=1e-5)


def test_many_features_are_compared_by_a_matrix_product(monkeypatch: pytest.MonkeyPatch) -> None:
    entropy, seen, now = _made(), _steps(), _steps(phase=0.4)
    entropy.observe(seen)
    exactly = entropy(now)
    monkeypatch.setattr(state_entropy, "_EXACT", 1)
    torch.testing.assert_close(entropy(now), exactly, rtol=1e-3, atol=1e-3)


def test_the_first_batch_is_compared_with_itself() -> None:
    steps, entropy = _steps(), _made()
    reward_TN = entropy(steps)
    assert reward_TN.shape == (STEPS, COLUMNS)
    assert bool((reward_TN > 0).any())


def test_to_judge_changes_nothing_and_to_observe_does() -> None:
    entropy, now = _made(), _steps(phase=0.4)
    entropy.observe(_steps())
    before = entropy(now)
    torch.testing.assert_close(entropy(now), before, rtol=0, atol=0)
    entropy.observe(now)
    scale = entropy._reward_moments.variance.sqrt()
    assert float(entropy(now).mean() * scale) < float(before.mean())


def test_rows_that_stand_for_no_time_are_not_kept() -> None:
    rollout = made_up_rollout()
    duration = rollout.duration_TN.copy()
    duration[3:, 1] = 0
    entropy = _made()
    entropy.observe(_steps(duration_TN=duration))
    assert len(entropy.get_state()["kept"]["rows"]) == int((duration > 0).sum())


def test_wide_observations_are_projected_and_keep_their_order_of_distance() -> None:
    size = 3000
    entropy = _made(size=size)
    rng = np.random.default_rng(0)
    near = rng.normal(size=(STEPS + 1, COLUMNS, size)).astype(np.float32)
    seen = steps_on(
        CPU, made_up_rollout(observation_TNO=near, final_observation_KO=near[0, :].repeat(2, 0)[:5])
    )
    entropy.observe(seen)
    assert entropy.get_state()["kept"]["rows"].shape[1] == state_entropy._PROJECTED
    far = near.copy()
    far[1:, 0] *= 4
    now = steps_on(
        CPU, made_up_rollout(observation_TNO=far, final_observation_KO=near[0, :].repeat(2, 0)[:5])
    )
    reward_TN = entropy(now)
    ended = np.unravel_index(made_up_rollout().final_index_K, (STEPS, COLUMNS))
    apart = torch.ones(STEPS, COLUMNS, dtype=torch.bool)
    apart[ended] = False
    assert float(reward_TN[:, 0][apart[:, 0]].min()) > float(reward_TN[:, 1:][apart[:, 1:]].max())


def test_bytes_are_read_as_numbers() -> None:
    image = (127 * (1 + waves(STEPS + 1, COLUMNS, OBSERVATION))).astype(np.uint8)
    final = (127 * (1 + waves(5, OBSERVATION))).astype(np.uint8)
    entropy = _made()
    entropy.observe(steps_on(CPU, made_up_rollout(observation_TNO=image, final_observation_KO=final)))
    assert bool(entropy(_steps()).isfinite().all())


def test_going_on_from_a_checkpoint_gives_the_same_bits() -> None:
    whole = _made(states=20)
    whole.observe(_steps())
    whole.observe(_steps(phase=2.0))
    resumed = _made(states=20, seed=5)
    resumed.set_state(whole.get_state())
    for entropy in (whole, resumed):
        entropy.observe(_steps(phase=0.4))
        entropy.observe(_steps(phase=1.4))
    now = _steps(phase=0.9)
    assert torch.equal(whole(now), resumed(now))
    np.testing.assert_equal(whole.get_state(), resumed.get_state())
