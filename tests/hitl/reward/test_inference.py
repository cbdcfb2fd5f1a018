import gymnasium as gym
import numpy as np
import pytest
import torch

from hitl.errors import ConfigError
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from hitl.reward.network.torch_inputs import input_features
from hitl.reward.serving.inference import NumpyReward
from hitl.reward.settings import InputSettings

SEEN = gym.spaces.Box(-np.inf, np.inf, (4,))
ACTIONS = {
    "discrete": gym.spaces.Discrete(3),
    "features": gym.spaces.Discrete(3),
    "multi": gym.spaces.MultiDiscrete([2, 3, 2]),
    "box": gym.spaces.Box(-1.0, 1.0, (2,)),
}


def products(observation_NO: np.ndarray) -> np.ndarray:
    """Features that differ between actions and are no linear function of the observation."""
    first_NA = observation_NO[:, :1] * (np.arange(3) - 1.0)
    return np.stack([first_NA, np.sin(observation_NO[:, 1:2] + first_NA)], 2)


@pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
@pytest.mark.parametrize("kind", ACTIONS)
def test_it_says_what_the_ensemble_says(kind: str, hidden: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    rng, actions = np.random.default_rng(0), ACTIONS[kind]
    actions.seed(0)
    features = f"{__name__}:products" if kind == "features" else None
    space = InputSpace.of(SEEN, actions, InputSettings(features=features))
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


def test_what_it_reads_are_the_features_of_the_action_that_was_taken() -> None:
    """And the ensemble says the same within 1e-5, whatever axes its steps have."""
    space = InputSpace.of(SEEN, ACTIONS["features"], InputSettings(features=f"{__name__}:products"))
    assert space.size == 2
    rng = np.random.default_rng(0)
    observation = rng.normal(size=(6, 5, 4)).astype(np.float32)
    action = rng.integers(0, 3, (6, 5))
    found = input_features(space, torch.from_numpy(observation), torch.from_numpy(action))
    assert found.shape == (6, 5, 2)
    for one in range(6):
        for other in range(5):
            first = float(observation[one, other, 0]) * (float(action[one, other]) - 1.0)
            expected = [first, float(np.sin(observation[one, other, 1] + first))]
            assert found[one, other].tolist() == pytest.approx(expected, abs=1e-6)
    torch.manual_seed(0)
    ensemble, reward = RewardEnsemble(space, members=3, hidden=()), NumpyReward(space)
    probe = torch.from_numpy(observation), torch.from_numpy(action)
    ensemble.standardise_inputs(*probe)
    ensemble.set_gauge(*probe)
    reward.load(ensemble.to_arrays())
    expected = ensemble.reward(*probe).detach().numpy()
    given = reward.reward(observation.reshape(30, 4), action.ravel())
    np.testing.assert_allclose(given, expected.ravel(), atol=1e-5)


def flat(observation_NO: np.ndarray) -> np.ndarray:
    return observation_NO


def broken(observation_NO: np.ndarray) -> np.ndarray:
    raise IndexError("no such column")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("products", "is no module:function"),
        (f"{__name__}:nowhere", "cannot import nowhere"),
        (f"{__name__}:flat", "it must be \\(2, 3, features\\)"),
        (f"{__name__}:broken", "no such column"),
    ],
)
def test_features_that_are_none_are_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        InputSpace.of(SEEN, ACTIONS["features"], InputSettings(features=name))


def test_features_are_of_discrete_actions() -> None:
    with pytest.raises(TypeError, match="are of Discrete actions"):
        InputSpace.of(SEEN, ACTIONS["box"], InputSettings(features=f"{__name__}:products"))
