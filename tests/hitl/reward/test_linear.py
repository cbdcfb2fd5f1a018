import numpy as np
import pytest

from hitl.reward.linear import LinearReward

RNG = np.random.default_rng(5)
CREDITED_SF = RNG.normal(size=(30, 4))
SIGNAL_S = RNG.choice([-1.0, 1.0], 30)


def slowly(credited_SF, signal_S, *, prior_std: float, noise_std: float):
    """Mean and covariance of the weights as in Bishop 2006, equations 3.50, 3.51 and 3.54."""
    precision = np.eye(credited_SF.shape[1]) / prior_std**2 + credited_SF.T @ credited_SF / noise_std**2
    covariance = np.linalg.inv(precision)
    return covariance @ credited_SF.T @ signal_S / noise_std**2, covariance


def taught(order) -> LinearReward:
    reward = LinearReward(4, prior_std=0.7, noise_std=0.5)
    for place in order:
        reward.take(CREDITED_SF[place], SIGNAL_S[place])
    return reward


def test_weights_are_those_of_the_closed_form() -> None:
    reward = taught(range(30))
    mean, covariance = slowly(CREDITED_SF, SIGNAL_S, prior_std=0.7, noise_std=0.5)
    np.testing.assert_allclose(reward.weight_F, mean, atol=1e-12)
    feature_PF = RNG.normal(size=(6, 4))
    np.testing.assert_allclose(reward.reward(feature_PF), feature_PF @ mean, atol=1e-12)
    expected = [np.sqrt(feature @ covariance @ feature) for feature in feature_PF]
    np.testing.assert_allclose(reward.std(feature_PF), expected, atol=1e-12)


def test_the_order_of_signals_does_not_matter() -> None:
    np.testing.assert_allclose(taught(range(30)).weight_F, taught(reversed(range(30))).weight_F, atol=1e-12)


def test_a_signal_taken_back_was_never_there() -> None:
    reward = taught(range(30))
    for place in (3, 17):
        reward.take_back(CREDITED_SF[place], SIGNAL_S[place])
    rest = [place for place in range(30) if place not in (3, 17)]
    np.testing.assert_allclose(reward.weight_F, taught(rest).weight_F, atol=1e-10)
    np.testing.assert_allclose(reward.std(CREDITED_SF), taught(rest).std(CREDITED_SF), atol=1e-10)


def test_before_any_signal_the_reward_is_0_and_as_unsure_as_the_prior() -> None:
    reward = LinearReward(4, prior_std=0.7)
    assert reward.reward(CREDITED_SF).tolist() == [0.0] * 30
    assert reward.std(np.eye(4)) == pytest.approx([0.7] * 4)
