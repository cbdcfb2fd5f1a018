import gymnasium as gym
import numpy as np
import pytest

from hitl.reward.network.features import RadialFeatures, RelativeFeatures

SPACE = gym.spaces.Box(np.array([-1.0, 10.0]), np.array([1.0, 30.0]), dtype=np.float64)


def test_bumps_are_gaussians_one_grid_step_wide() -> None:
    features = RadialFeatures(SPACE, 2, per_axis=3)
    observation = np.array([0.2, 27.0])
    found = features(observation[None])
    assert found.shape == (1, 2, features.size) == (1, 2, 20)
    place = [(0.2 + 1) / 2, (27 - 10) / 20]
    slowly = [
        np.exp(-(((place[0] - x) / 0.5) ** 2 + ((place[1] - y) / 0.5) ** 2) / 2)
        for x in (0, 0.5, 1)
        for y in (0, 0.5, 1)
    ]
    np.testing.assert_allclose(found[0, 0], [*slowly, 1, *[0] * 10], rtol=1e-6)
    np.testing.assert_allclose(found[0, 1], [*[0] * 10, *slowly, 1], rtol=1e-6)


def test_observations_are_looked_at_apart() -> None:
    features = RadialFeatures(SPACE, 2, per_axis=3)
    many = SPACE.low + (SPACE.high - SPACE.low) * np.random.default_rng(0).random((5, 2))
    np.testing.assert_array_equal(features(many), np.concatenate([features(one[None]) for one in many]))


def test_a_space_without_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="no bounds"):
        RadialFeatures(gym.spaces.Box(-np.inf, np.inf, (2,)), 2, per_axis=3)


def test_relative_features_are_those_that_set_an_action_apart() -> None:
    feature_NAF = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    found = RelativeFeatures(lambda observation_NO: feature_NAF)(np.zeros((2, 1)))
    for place in range(2):
        for action in range(3):
            expected = [*(feature_NAF[place, action] - feature_NAF[place].mean(0)), 1]
            np.testing.assert_allclose(found[place, action], expected, atol=1e-6)
