import gymnasium as gym
import numpy as np
import pytest
import torch

from hitl.reward.ensemble import InputSpace, RewardEnsemble
from hitl.reward.inference import NumpyReward

SEEN = gym.spaces.Box(-np.inf, np.inf, (4,))
ACTIONS = {
    "discrete": gym.spaces.Discrete(3),
    "multi": gym.spaces.MultiDiscrete([2, 3, 2]),
    "box": gym.spaces.Box(-1.0, 1.0, (2,)),
}


@pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
@pytest.mark.parametrize("kind", ACTIONS)
def test_it_says_what_the_ensemble_says(kind: str, hidden: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    rng, actions = np.random.default_rng(0), ACTIONS[kind]
    actions.seed(0)
    space = InputSpace.of(SEEN, actions)
    ensemble = RewardEnsemble(space, members=3, hidden=hidden)
    observation = rng.normal(3.0, 2.0, (50, 4)).astype(np.float32)
    action = np.stack([actions.sample() for _ in range(50)])
    probe = torch.from_numpy(observation), torch.from_numpy(action)
    ensemble.standardise_inputs(*probe)
    ensemble.set_gauge(*probe)
    reward = NumpyReward(space)
    assert not reward.of_actions(observation, action[:5]).any()
    reward.load(ensemble.to_arrays())
    expected = ensemble.reward(*probe).detach().numpy()
    np.testing.assert_allclose(reward.reward(observation, action), expected, atol=1e-4)
    of_actions = reward.of_actions(observation[:7], action[:5])
    assert of_actions.shape == (7, 5)
    for n in range(7):
        for c in range(5):
            one = ensemble.reward(probe[0][n : n + 1], probe[1][c : c + 1]).item()
            assert of_actions[n, c] == pytest.approx(one, abs=1e-4)


def test_a_loaded_version_is_a_copy() -> None:
    space = InputSpace.of(SEEN, ACTIONS["discrete"])
    torch.manual_seed(0)
    arrays = {
        name: value.copy()
        for name, value in RewardEnsemble(space, members=2, hidden=(8,)).to_arrays().items()
    }
    reward = NumpyReward(space)
    reward.load(arrays)
    observation = np.ones((2, 4), np.float32)
    before = reward.of_actions(observation, np.arange(3))
    for value in arrays.values():
        value[...] = 0
    np.testing.assert_array_equal(reward.of_actions(observation, np.arange(3)), before)
