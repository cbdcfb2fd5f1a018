"""Our GAE against that of Stable-Baselines3's rollout buffer, which has truncations in its rewards."""

import numpy as np
import pytest
import torch

from policies.advantages import Rows, gae

GAMMA = 0.97


@pytest.mark.parametrize("gae_lambda", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_gae_is_that_of_stable_baselines3(seed: int, gae_lambda: float) -> None:
    buffers = pytest.importorskip(
        "stable_baselines3.common.buffers", reason="Stable-Baselines3 comes with the extra bench"
    )
    steps, columns = 50, 4
    rng = np.random.default_rng(seed)
    reward, value = rng.normal(scale=0.3, size=(2, steps, columns)).astype(np.float32)
    own_last_value = rng.normal(scale=0.3, size=(steps + 1, columns)).astype(np.float32)
    terminated = rng.random((steps, columns)) < 0.1
    truncated = ~terminated & (rng.random((steps, columns)) < 0.1)
    # The last row of each kind, where a rollout's own edge meets an episode's.
    terminated[-1], truncated[-1] = [True, False, False, False], [False, True, False, False]
    ended = terminated | truncated
    own_next_value = np.where(ended, own_last_value[1:], np.concatenate([value[1:], own_last_value[-1:]]))

    buffer = buffers.RolloutBuffer(
        steps,
        observation_space=_box(),
        action_space=_box(),
        device="cpu",
        gamma=GAMMA,
        gae_lambda=gae_lambda,
        n_envs=columns,
    )
    for t in range(steps):
        began = ended[t - 1] if t else np.ones(columns, bool)
        # As its collect_rollouts does: the value of a truncated episode's last observation joins the reward.
        bootstrapped = reward[t] + GAMMA * truncated[t] * own_next_value[t]
        nothing = np.zeros((columns, 1), np.float32)
        buffer.add(nothing, nothing, bootstrapped, began, torch.from_numpy(value[t]), torch.zeros(columns))
    buffer.compute_returns_and_advantage(torch.from_numpy(own_last_value[-1]), dones=ended[-1])

    rows = Rows(
        reward_TN=torch.from_numpy(reward),
        value_TN=torch.from_numpy(value),
        next_value_TN=torch.from_numpy(own_next_value),
        terminated_TN=torch.from_numpy(terminated),
        cut_TN=torch.from_numpy(ended),
        discount_TN=torch.full((steps, columns), GAMMA),
    )
    ours = gae(rows, gae_lambda=gae_lambda)
    np.testing.assert_allclose(ours.advantage_TN, buffer.advantages, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.target_TN, buffer.returns, rtol=0, atol=1e-6)


def _box() -> object:
    from gymnasium.spaces import Box

    return Box(-1.0, 1.0, (1,), np.float32)
