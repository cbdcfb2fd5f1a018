import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from policies.acting.inference import Acts, NumpyPolicy, Weights, acting_policy
from policies.acting.torch_inference import TorchPolicy
from policies.networks import ActorCritic
from policies.spaces import flat_dtype

OBSERVATIONS = gym.spaces.Box(-np.inf, np.inf, (5,), np.float32)
TWO, SEVEN = gym.spaces.Discrete(2), gym.spaces.Discrete(7)
GRID = gym.spaces.MultiDiscrete([3, 2, 4])
LINE, CUBE = gym.spaces.Box(-1, 1, (1,)), gym.spaces.Box(-1, 1, (3,))


def _network(
    action_space: Any,
    *,
    hidden: Sequence[int] = (8,),
    activation: str = "tanh",
    gain: float = 1.0,
) -> ActorCritic:
    """A network with weights that are nowhere 0, and outputs of about the size of `gain`."""
    torch.manual_seed(3)
    network = ActorCritic(OBSERVATIONS, action_space, hidden=hidden, activation=activation)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.5)
        network.policy[-1].weight.mul_(gain)
        network.policy[-1].bias.mul_(gain)
    return network


def _weights(network: ActorCritic) -> Weights:
    return {name: value.detach().numpy() for name, value in network.state_dict().items()}


def _loaded(
    network: ActorCritic, action_space: Any, *, activation: str = "tanh", seed: int = 0
) -> NumpyPolicy:
    policy = NumpyPolicy(action_space, activation=activation, seed=seed)
    policy.load(_weights(network))
    return policy


def _observations(rows: int) -> Any:
    return np.random.default_rng(1).normal(0, 2, (rows, 5)).astype(np.float32)


@pytest.mark.parametrize("gain", [0.01, 1.0, 1e4], ids=["uniform", "usual", "extreme"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("hidden", [(), (8,), (64, 64), (7, 6, 5, 6, 5, 6)], ids=str)
@pytest.mark.parametrize("space", [TWO, SEVEN, GRID, LINE, CUBE], ids=str)
def test_log_probabilities_are_torchs(
    space: Any, hidden: Sequence[int], activation: str, gain: float
) -> None:
    if not isinstance(space, gym.spaces.Discrete):
        # Numbers of 1e4 are rounded to thousandths: means, before any logarithm, and logits of which two come close.
        gain = min(gain, 1.0)
    network = _network(space, hidden=hidden, activation=activation, gain=gain)
    observation = _observations(200)
    action, log_prob = _loaded(network, space, activation=activation).act(observation)
    with torch.no_grad():
        expected, _ = network.evaluate(torch.from_numpy(observation), torch.from_numpy(action))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-5)
    assert action.dtype == (np.float32 if isinstance(space, gym.spaces.Box) else np.int64)
    assert action.shape == (200, *space.shape)
    assert log_prob.dtype == np.float32


def test_discrete_actions_come_as_often_as_they_are_probable() -> None:
    network, rows = _network(SEVEN), 40_000
    observation = np.repeat(_observations(1), rows, 0)
    action, _ = _loaded(network, SEVEN).act(observation)
    with torch.no_grad():
        probability = torch.softmax(network.policy(torch.from_numpy(observation[:1])), -1)[0].double().numpy()
    deviation = np.sqrt(rows * probability * (1 - probability))
    assert (np.abs(np.bincount(action, minlength=7) - rows * probability) < 4 * deviation).all()


def test_actions_from_a_box_spread_as_the_scale_says() -> None:
    network, rows = _network(CUBE), 40_000
    observation = np.repeat(_observations(1), rows, 0)
    action, _ = _loaded(network, CUBE).act(observation)
    mean = network.policy(torch.from_numpy(observation[:1])).detach().numpy()[0]
    scale = network.log_scale.exp().detach().numpy()
    standard = (action - mean) / scale
    np.testing.assert_allclose(standard.mean(0), 0, atol=4 / np.sqrt(rows))
    np.testing.assert_allclose(np.cov(standard.T), np.eye(3), atol=6 / np.sqrt(rows))


class _Edges:
    """A generator that draws the smallest and the largest numbers there are below 1."""

    def random(self, size: int) -> Any:
        return np.where(np.arange(size) % 2, 0.0, np.nextafter(1.0, 0.0))


def test_an_action_without_probability_is_never_drawn() -> None:
    network = _network(gym.spaces.Discrete(4))
    with torch.no_grad():
        network.policy[-1].bias.copy_(torch.tensor([-1e5, 0.0, 0.0, -1e5]))
    policy = _loaded(network, gym.spaces.Discrete(4))
    policy._generator = _Edges()  # type: ignore[assignment]
    action, log_prob = policy.act(_observations(50))
    assert set(action.tolist()) == {1, 2}
    assert (log_prob > -20).all()


@pytest.mark.parametrize("make", [NumpyPolicy, TorchPolicy])
def test_draws_are_a_function_of_the_seed(make: Any) -> None:
    network, observation = _network(CUBE), _observations(6)

    def draw(seed: int) -> Any:
        policy: Acts
        if make is NumpyPolicy:
            policy = NumpyPolicy(CUBE, activation="tanh", seed=seed)
        else:
            policy = TorchPolicy(OBSERVATIONS, CUBE, seed=seed, hidden=(8,))
        policy.load(_weights(network))
        return np.stack([policy.act(observation)[0] for _ in range(2)])

    first, again, other = draw(1), draw(1), draw(2)
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()
    assert (first[0] != first[1]).all()


@pytest.mark.parametrize("space", [SEVEN, CUBE], ids=str)
def test_torchs_way_to_act_is_the_networks(space: Any) -> None:
    network, observation = _network(space), _observations(20)
    policy = TorchPolicy(OBSERVATIONS, space, seed=0, hidden=(8,))
    weights = {name: value for name, value in _weights(network).items() if not name.startswith("critic")}
    for value in weights.values():
        value.flags.writeable = False
    policy.load(weights)
    action, log_prob = policy.act(observation)
    with torch.no_grad():
        expected, _ = network.evaluate(torch.from_numpy(observation), torch.from_numpy(action))
    np.testing.assert_allclose(log_prob, expected, atol=1e-6)


@pytest.mark.parametrize("make", ["numpy", "torch"])
def test_weights_are_copied_and_results_are_the_callers(make: str) -> None:
    network, observation = _network(SEVEN), _observations(20)
    hidden = (8,) if make == "numpy" else (8, 300)
    network = _network(SEVEN, hidden=hidden)
    policy = acting_policy(OBSERVATIONS, SEVEN, seed=0, hidden=hidden)
    weights = {name: value.copy() for name, value in _weights(network).items()}
    policy.load(weights)
    for value in weights.values():
        value.fill(np.nan)
    action, log_prob = policy.act(observation)
    kept = action.copy(), log_prob.copy()
    assert np.isfinite(log_prob).all()
    policy.act(_observations(20) * 3)
    np.testing.assert_array_equal(action, kept[0])
    np.testing.assert_array_equal(log_prob, kept[1])


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, NumpyPolicy),
        ({"hidden": (256, 32), "activation": "relu"}, NumpyPolicy),
        ({"initial_log_std": -2.0}, NumpyPolicy),
        ({"hidden": (257,)}, TorchPolicy),
    ],
    ids=str,
)
def test_large_networks_act_with_torch(settings: dict[str, Any], kind: type) -> None:
    assert isinstance(acting_policy(OBSERVATIONS, SEVEN, seed=0, **settings), kind)


@pytest.mark.parametrize("space", [gym.spaces.Discrete(2, start=1), gym.spaces.Box(-1, 1, (2, 2))], ids=str)
def test_spaces_without_a_policy_are_refused(space: Any) -> None:
    with pytest.raises(TypeError, match="no policy for the action space"):
        acting_policy(OBSERVATIONS, space, seed=0)


def test_a_small_network_acts_without_torch() -> None:
    program = """
import sys
import gymnasium as gym
import numpy as np
from policies.acting.inference import acting_policy
policy = acting_policy(gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2), seed=0, hidden=())
policy.load({"policy.0.weight": np.eye(2), "policy.0.bias": np.zeros(2), "log_scale": np.zeros(0)})
policy.act(np.ones((3, 2), np.float32))
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


OBSERVED: dict[str, Any] = {
    "box": (gym.spaces.Box(-1, 1, (2, 3)), NumpyPolicy),
    "discrete": (gym.spaces.Discrete(6), NumpyPolicy),
    "tuple read as it is": (gym.spaces.Tuple([gym.spaces.Discrete(2), gym.spaces.Discrete(4)]), NumpyPolicy),
    "bytes": (gym.spaces.Box(0, 255, (6,), np.uint8), TorchPolicy),
    "image": (gym.spaces.Box(0, 255, (2, 3, 1), np.uint8), TorchPolicy),
    "dict": (gym.spaces.Dict(a=gym.spaces.Box(-1, 1, (5,)), b=gym.spaces.Box(-1, 1, (1,))), TorchPolicy),
}


@pytest.mark.parametrize(("space", "kind"), OBSERVED.values(), ids=OBSERVED)
@pytest.mark.parametrize("shared", [False, True], ids=["apart", "shared"])
def test_whoever_acts_acts_as_the_network(space: Any, kind: Any, shared: bool) -> None:
    """NumPy only where it knows the network; with the weights that env runners are sent."""
    model = {"hidden": (8,), "shared": shared, "image_features": 16}
    torch.manual_seed(1)
    network = ActorCritic(space, GRID, **model)
    with torch.no_grad():
        network.policy[-1].weight.mul_(100)
    policy = acting_policy(space, GRID, seed=0, **model)
    assert type(policy) is kind
    policy.load({k: v for k, v in _weights(network).items() if not k.startswith(("critic.", "value_"))})
    flat = np.random.default_rng(0).integers(0, 2, (50, 6)).astype(flat_dtype(space))
    action, log_prob = policy.act(flat)
    with torch.no_grad():
        expected, _ = network.evaluate(torch.from_numpy(flat), torch.from_numpy(action))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-5)
    assert len(set(log_prob.tolist())) > 5
