import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from hitl.reward.network.torch_inputs import input_features

DISCRETE = InputSpace(observation_size=3, action_size=4, discrete=True)
CONTINUOUS = InputSpace(observation_size=3, action_size=2, discrete=False)
MEMBERS = 3


def _ensemble(space: InputSpace = DISCRETE, seed: int = 0) -> RewardEnsemble:
    torch.manual_seed(seed)
    ensemble = RewardEnsemble(space, members=MEMBERS, hidden=(8, 6)).double()
    for bias in ensemble.biases:
        torch.nn.init.normal_(bias)
    return ensemble


def _steps(space: InputSpace, *axes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    observation = 5 + 3 * torch.randn(*axes, 3, generator=generator, dtype=torch.float64)
    if space.discrete:
        return observation, torch.randint(0, 4, axes, generator=generator)
    return observation, torch.randn(*axes, 2, generator=generator, dtype=torch.float64)


def _by_hand(ensemble: RewardEnsemble, member: int, observation: Tensor, action: Tensor) -> float:
    """One member's network on one step, unit by unit."""
    one_hot = [float(action == a) for a in range(4)] if ensemble.space.discrete else action.tolist()
    values = [
        (x - float(mean)) / float(std)
        for x, mean, std in zip(
            observation.tolist() + one_hot, ensemble.input_mean, ensemble.input_std, strict=True
        )
    ]
    for layer, (weight, bias) in enumerate(zip(ensemble.weights, ensemble.biases, strict=True)):
        w, b = weight[member].tolist(), bias[member, 0].tolist()
        values = [sum(v * row[j] for v, row in zip(values, w, strict=True)) + b[j] for j in range(len(b))]
        if layer < len(ensemble.weights) - 1:
            values = np.tanh(values).tolist()
    return float(values[0])


@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_members_evaluated_together_are_the_members_one_by_one(space: InputSpace) -> None:
    ensemble = _ensemble(space)
    ensemble.standardise_inputs(*_steps(space, 50, seed=1))
    observation, action = _steps(space, 2, 4)
    raw = ensemble.raw(observation, action)
    assert raw.shape == (MEMBERS, 2, 4)
    for member in range(MEMBERS):
        for place in np.ndindex(2, 4):
            expected = _by_hand(ensemble, member, observation[place], action[place])
            assert raw[(member, *place)].item() == pytest.approx(expected)


def test_members_start_apart() -> None:
    torch.manual_seed(0)
    observation, action = _steps(DISCRETE, 20)
    raw = RewardEnsemble(DISCRETE, members=MEMBERS, hidden=(8,)).raw(observation.float(), action)
    assert not torch.allclose(raw[0], raw[1])
    assert not torch.allclose(raw[1], raw[2])


def test_on_the_probe_set_each_member_has_mean_0_and_deviation_1() -> None:
    ensemble = _ensemble()
    probe = _steps(DISCRETE, 40, 5)
    ensemble.set_gauge(*probe)
    reward = ensemble.member_rewards(*probe).flatten(1)
    torch.testing.assert_close(reward.mean(1), torch.zeros(MEMBERS, dtype=torch.float64))
    torch.testing.assert_close(reward.std(1), torch.ones(MEMBERS, dtype=torch.float64))
    torch.testing.assert_close(ensemble.reward(*probe), ensemble.member_rewards(*probe).mean(0))


def test_the_gauge_undoes_any_offset_and_scale() -> None:
    ensemble = _ensemble()
    probe, steps = _steps(DISCRETE, 200), _steps(DISCRETE, 30, seed=9)
    ensemble.set_gauge(*probe)
    before, raw = ensemble.reward(*steps), ensemble.raw(*steps)
    with torch.no_grad():
        for parameter in (ensemble.weights[-1], ensemble.biases[-1]):
            parameter.mul_(7.0)
        ensemble.biases[-1].add_(3.0)
    torch.testing.assert_close(ensemble.raw(*steps), 7 * raw + 3)
    assert not torch.allclose(ensemble.reward(*steps), before)
    ensemble.set_gauge(*probe)
    torch.testing.assert_close(ensemble.reward(*steps), before)


def test_a_model_that_tells_nothing_apart_rewards_nothing() -> None:
    ensemble = _ensemble().float()
    with torch.no_grad():
        ensemble.weights[-1].zero_()
        ensemble.biases[-1].fill_(1.37)
    observation, action = _steps(DISCRETE, 1000)
    ensemble.set_gauge(observation.float(), action)
    assert torch.equal(ensemble.reward(observation.float(), action), torch.zeros(1000))


def test_inputs_are_standardised_and_constant_ones_left_alone() -> None:
    ensemble = _ensemble(CONTINUOUS)
    observation, action = _steps(CONTINUOUS, 100)
    observation[:, 1] = 4.0
    ensemble.standardise_inputs(observation, action)
    features = torch.cat([observation, action], -1)
    standard = (features - ensemble.input_mean) / ensemble.input_std
    torch.testing.assert_close(standard.mean(0), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(standard.std(0), torch.tensor([1, 0, 1, 1, 1], dtype=torch.float64))


def test_a_model_loaded_from_arrays_is_the_same_model() -> None:
    ensemble, other = _ensemble(), _ensemble(seed=1)
    probe = _steps(DISCRETE, 50)
    ensemble.standardise_inputs(*probe)
    ensemble.set_gauge(*probe)
    arrays = ensemble.to_arrays()
    before = ensemble.reward(*probe)
    assert not torch.equal(other.reward(*probe), before)
    other.load_arrays(arrays)
    assert torch.equal(other.reward(*probe), before)
    with torch.no_grad():
        for parameter in ensemble.parameters():
            parameter.zero_()
    assert torch.equal(other.reward(*probe), before)
    other.load_arrays(arrays)
    assert torch.equal(other.reward(*probe), before), "arrays of a version change with no later version"


def test_the_input_space_is_read_off_the_environments_spaces() -> None:
    box = gym.spaces.Box(-1, 1, (2, 3))
    assert InputSpace.of(box, gym.spaces.Discrete(4)) == InputSpace(
        observation_size=6, action_size=4, discrete=True
    )
    assert InputSpace.of(box, gym.spaces.Box(-1, 1, (2,))) == InputSpace(
        observation_size=6, action_size=2, discrete=False
    )
    assert InputSpace.of(gym.spaces.Discrete(5), gym.spaces.MultiDiscrete([3, 2])) == InputSpace(
        observation_size=5, action_size=5, discrete=True, choices=(3, 2)
    )


def test_each_axis_of_an_action_is_one_hot() -> None:
    space = InputSpace.of(gym.spaces.Box(-1, 1, (2,)), gym.spaces.MultiDiscrete([3, 2]))
    observation, action = torch.tensor([[0.5, -0.5], [0.25, 1.0]]), torch.tensor([[2, 0], [0, 1]])
    expected = [[0.5, -0.5, 0, 0, 1, 1, 0], [0.25, 1.0, 1, 0, 0, 0, 1]]
    assert input_features(space, observation, action).tolist() == expected


def test_bytes_are_read_as_the_numbers_that_they_are() -> None:
    space = InputSpace.of(gym.spaces.Box(0, 255, (2,), np.uint8), gym.spaces.Discrete(2))
    features = input_features(space, torch.tensor([[3, 255]], dtype=torch.uint8), torch.tensor([1]))
    assert features.dtype == torch.float32
    assert features.tolist() == [[3, 255, 0, 1]]


def test_spaces_without_a_reward_model_are_refused() -> None:
    box, discrete = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(3)
    with pytest.raises(TypeError, match="observations Text"):
        InputSpace.of(gym.spaces.Text(3), discrete)
    with pytest.raises(TypeError, match="action space"):
        InputSpace.of(box, gym.spaces.MultiBinary(2))
