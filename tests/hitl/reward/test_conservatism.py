"""Members become one reward in the same way wherever the model is used."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from hitl.reward.network.conservatism import Conservatism
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from hitl.reward.serving.deployment import RewardDeployment
from hitl.reward.serving.inference import NumpyReward
from hitl.reward.serving.torch_inference import TorchReward
from tests.hitl.reward.comparisons import answers, entry_of
from tests.hitl.reward.test_online import PROBE, _model

SPACE = InputSpace.of(gym.spaces.Box(-np.inf, np.inf, (4,)), gym.spaces.Discrete(3))
KINDS = {
    "mean": Conservatism(),
    "deviation": Conservatism(kind="deviation", coefficient=0.7),
    "worst": Conservatism(kind="worst", coefficient=0.3),
}


def _oracle(conservatism: Conservatism, rewards: list[float]) -> float:
    """As the paper writes it, but for the square root."""
    mean = sum(rewards) / len(rewards)
    if conservatism.kind == "worst":
        return min(rewards)
    if conservatism.kind == "mean":
        return mean
    variance = sum((reward - mean) ** 2 for reward in rewards) / len(rewards)
    return mean - conservatism.coefficient * variance**0.5


def _ensemble(conservatism: Conservatism) -> tuple[RewardEnsemble, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    ensemble = RewardEnsemble(SPACE, members=3, hidden=(8,))
    ensemble.conservatism = conservatism
    rng = np.random.default_rng(0)
    observation = torch.from_numpy(rng.normal(2.0, 1.5, (40, 4)).astype(np.float32))
    action = torch.from_numpy(rng.integers(0, 3, 40))
    ensemble.standardise_inputs(observation, action)
    ensemble.set_gauge(observation, action)
    return ensemble, observation, action


@pytest.mark.parametrize("kind", KINDS)
def test_all_who_use_the_model_say_the_same(kind: str) -> None:
    ensemble, observation, action = _ensemble(KINDS[kind])
    members_KP = ensemble.member_rewards(observation, action).double().tolist()
    expected = [_oracle(KINDS[kind], list(rewards)) for rewards in zip(*members_KP, strict=True)]
    np.testing.assert_allclose(ensemble.reward(observation, action).detach(), expected, atol=1e-5)
    again = RewardEnsemble.of_arrays(SPACE, ensemble.to_arrays())
    np.testing.assert_allclose(again.reward(observation, action).detach(), expected, atol=1e-5)
    for acting in (NumpyReward(SPACE), TorchReward(SPACE)):
        acting.load(ensemble.to_arrays())
        np.testing.assert_allclose(acting.reward(observation.numpy(), action.numpy()), expected, atol=1e-5)
        of_actions: Any = acting.of_actions(observation.numpy(), np.arange(3))
        chosen = of_actions[np.arange(40), action.numpy()]
        np.testing.assert_allclose(chosen, expected, atol=1e-5)
        (best,) = RewardDeployment(ensemble, np.arange(3))(observation)
        np.testing.assert_array_equal(best, of_actions.argmax(1))


def test_the_three_say_different_things_and_never_more_than_the_mean() -> None:
    said = {}
    for kind, conservatism in KINDS.items():
        ensemble, observation, action = _ensemble(conservatism)
        said[kind] = ensemble.reward(observation, action).detach().numpy()
    assert (said["deviation"] < said["mean"]).all()
    assert (said["worst"] < said["mean"]).all()
    assert not np.allclose(said["deviation"], said["worst"])


def test_versions_of_the_mean_are_what_they_were_and_others_say_what_they_are() -> None:
    ensemble, _, _ = _ensemble(KINDS["mean"])
    assert "conservatism" not in ensemble.to_arrays()
    for conservatism in KINDS.values():
        assert Conservatism.of_arrays(conservatism.to_arrays()).kind == conservatism.kind
    assert Conservatism.of_arrays(KINDS["deviation"].to_arrays()) == KINDS["deviation"]


def test_an_online_model_keeps_to_its_own_whatever_version_it_goes_on_from() -> None:
    plain = _model()
    cautious = _model(conservatism=Conservatism(kind="worst"))
    for entry, segments in map(entry_of, answers(12)):
        cautious.take(entry, segments)
    cautious.load(plain.weights())
    assert cautious.ensemble.conservatism.kind == "worst"
    assert cautious.fit() is not None
    acting = NumpyReward(cautious.ensemble.space)
    acting.load(cautious.weights())
    members_KP = cautious.ensemble.member_rewards(*map(torch.from_numpy, PROBE)).detach()
    np.testing.assert_allclose(acting.reward(*PROBE), members_KP.min(0).values, atol=1e-4)
