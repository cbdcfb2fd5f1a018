import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from hitl.reward.network import ensemble as ensemble_module
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from hitl.reward.serving.inference import NumpyReward, acting_reward
from hitl.reward.serving.torch_inference import TorchReward
from hitl.reward.settings import InputSettings
from policies.networks.convolutional import Convolutional
from tests.hitl.reward.dots import ACTIONS, IMAGE, LOOKS

MEMBERS = 3
FILTERS = ((3, 3, 2), (4, 2, 1))
MIXED = spaces.Dict(
    camera=spaces.Box(0, 255, (7, 8, 2), np.uint8),
    speed=spaces.Box(-9, 9, (2,)),
    top=spaces.Box(0, 255, (1, 5, 6), np.uint8),
    way=spaces.Discrete(3),
)
SPACES: dict[str, tuple[gym.Space[Any], gym.Space[Any]]] = {
    "image": (spaces.Box(0, 255, (7, 8, 2), np.uint8), spaces.Discrete(4)),
    "floats": (spaces.Box(-1, 1, (2, 7, 8)), spaces.Box(-1, 1, (2,))),
    "mixed": (MIXED, spaces.MultiDiscrete([3, 2])),
}


def _ensemble(name: str, *, hidden: tuple[int, ...] = (6, 5), seed: int = 0) -> RewardEnsemble:
    torch.manual_seed(seed)
    space = InputSpace.of(*SPACES[name], InputSettings(filters=FILTERS, image_features=5))
    ensemble = RewardEnsemble(space, members=MEMBERS, hidden=hidden).double()
    for which, parameter in ensemble.named_parameters():
        if parameter.dim() < 4 and parameter.dim() > 0 and not parameter.any() and "links" not in which:
            torch.nn.init.normal_(parameter)
    return ensemble


def _steps(name: str, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    observation_space, action_space = SPACES[name]
    observation_space.seed(seed)
    action_space.seed(seed)
    flat = [spaces.flatten(observation_space, observation_space.sample()) for _ in range(count)]
    action = np.stack([action_space.sample() for _ in range(count)])
    observation = torch.from_numpy(np.stack(flat))
    return (observation if observation.dtype == torch.uint8 else observation.double()), torch.from_numpy(
        action
    )


def _convolved(image_HWC: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """A convolution, place by place."""
    outs, _, size, _ = weight.shape
    rows, columns = ((side - size) // stride + 1 for side in image_HWC.shape[:2])
    places = []
    for row, column in itertools.product(range(rows), range(columns)):
        window = image_HWC[row * stride : row * stride + size, column * stride : column * stride + size]
        places.append(
            torch.stack([(window * weight[o].permute(1, 2, 0)).sum() + bias[o] for o in range(outs)])
        )
    return torch.stack(places).view(rows, columns, outs).clamp_min(0)


def _by_hand(ensemble: RewardEnsemble, name: str, member: int, flat: Tensor, action: Tensor) -> Tensor:
    """One member on one step: images through convolutions, and all else as numbers behind them."""
    observation_space, action_space = SPACES[name]
    state = ensemble.state_dict(keep_vars=True)
    seen = spaces.unflatten(observation_space, flat.numpy())
    parts = seen if isinstance(seen, dict) else {"": seen}
    values: list[Tensor] = []
    numbers: list[float] = []
    images = 0
    for part in parts.values():
        if np.ndim(part) != 3:
            numbers += np.eye(3)[part].tolist() if np.ndim(part) == 0 else np.asarray(part).tolist()
            continue
        image = torch.from_numpy(np.asarray(part, np.float64))
        if image.shape[0] < image.shape[2]:
            image = image.permute(1, 2, 0)
        hidden = image / 255 if np.asarray(part).dtype == np.uint8 else image
        prefix = f"convolutions.members.{member}.encoders.{images}"
        for layer, (_, _, stride) in zip((0, 2), FILTERS, strict=True):
            weight, bias = (state[f"{prefix}.convolutions.{layer}.{kind}"] for kind in ("weight", "bias"))
            hidden = _convolved(hidden, weight, bias, stride)
        linear = f"{prefix}.linear.0"
        values.append(
            (
                state[f"{linear}.weight"] @ hidden.permute(2, 0, 1).flatten() + state[f"{linear}.bias"]
            ).clamp_min(0)
        )
        images += 1
    if isinstance(action_space, spaces.Discrete):
        numbers += [float(action == a) for a in range(4)]
    elif isinstance(action_space, spaces.MultiDiscrete):
        numbers += [float(action[0] == a) for a in range(3)] + [float(action[1] == a) for a in range(2)]
    else:
        numbers += action.tolist()
    standard = (torch.tensor(numbers, dtype=torch.float64) - ensemble.input_mean) / ensemble.input_std
    hidden = torch.cat([*values, standard])
    for layer, (weight, bias) in enumerate(zip(ensemble.weights, ensemble.biases, strict=True)):
        hidden = hidden @ weight[member] + bias[member, 0]
        if layer < len(ensemble.weights) - 1:
            hidden = hidden.tanh()
    return hidden[0]


@pytest.mark.parametrize("hidden", [(), (6, 5)])
@pytest.mark.parametrize("name", SPACES)
def test_members_are_their_networks_by_hand_and_so_are_their_gradients(
    name: str, hidden: tuple[int, ...]
) -> None:
    ensemble = _ensemble(name, hidden=hidden)
    ensemble.standardise_inputs(*_steps(name, 30, seed=1))
    observation, action = _steps(name, 4)
    raw = ensemble.raw(observation, action)
    assert raw.shape == (MEMBERS, 4)
    expected = torch.stack(
        [
            torch.stack([_by_hand(ensemble, name, k, observation[p], action[p]) for p in range(4)])
            for k in range(MEMBERS)
        ]
    )
    torch.testing.assert_close(raw, expected)
    chance = torch.randn(MEMBERS, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    learnt = [
        p for n, p in ensemble.named_parameters() if not n.startswith(("signals.", "links.", "log_tie"))
    ]
    ours, theirs = (torch.autograd.grad((found * chance).sum(), learnt) for found in (raw, expected))
    for gradient, other in zip(ours, theirs, strict=True):
        assert other.any()
        torch.testing.assert_close(gradient, other)


def test_members_see_with_their_own_eyes() -> None:
    ensemble = _ensemble("image")
    firsts = [p for n, p in ensemble.named_parameters() if n.endswith("encoders.0.convolutions.0.weight")]
    assert len(firsts) == MEMBERS
    assert not torch.allclose(firsts[0], firsts[1])
    member, observation = 1, _steps("image", 1)[0]
    others = [k for k in range(MEMBERS) if k != member]
    assert ensemble.convolutions is not None
    before = ensemble.convolutions(observation).detach()
    with torch.no_grad():
        firsts[member].mul_(2)
    after = ensemble.convolutions(observation).detach()
    assert torch.equal(after[others], before[others])
    assert not torch.equal(after[member], before[member])


def test_many_images_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = _ensemble("image")
    observation, action = _steps("image", 30)
    whole, seen = ensemble.raw(observation, action), []
    monkeypatch.setattr(ensemble_module, "_IMAGES_TOGETHER", 7)
    assert ensemble.convolutions is not None
    ensemble.convolutions.register_forward_hook(lambda _, inputs, out: seen.append(len(inputs[0])))
    torch.testing.assert_close(ensemble.raw(observation, action), whole)
    torch.testing.assert_close(ensemble.raw(observation.view(6, 5, -1), action.view(6, 5)).flatten(1), whole)
    assert seen == [7] * 4 + [2] + [5] * 6


@pytest.mark.parametrize("name", SPACES)
def test_an_image_is_read_once_for_all_actions(name: str) -> None:
    ensemble = _ensemble(name)
    probe = _steps(name, 40, seed=1)
    ensemble.standardise_inputs(*probe)
    ensemble.set_gauge(*probe)
    (observation, _), (_, candidates) = _steps(name, 6), _steps(name, 5, seed=2)
    seen: list[int] = []
    assert ensemble.convolutions is not None
    hook = ensemble.convolutions.register_forward_hook(lambda _, inputs, out: seen.append(len(inputs[0])))
    found = ensemble.of_actions(observation, candidates)
    assert seen == [6]
    hook.remove()
    expected = [
        ensemble.reward(observation, action.expand(6, *action.shape)).detach() for action in candidates
    ]
    torch.testing.assert_close(found.detach(), torch.stack(expected, 1))


@pytest.mark.parametrize("name", SPACES)
def test_who_acts_by_it_hears_what_the_ensemble_says(name: str) -> None:
    space = InputSpace.of(*SPACES[name], InputSettings(filters=FILTERS, image_features=5))
    ensemble, reward = _ensemble(name, seed=3).float(), acting_reward(space)
    assert isinstance(reward, TorchReward)
    observation, action = _steps(name, 20)
    observation = observation.float() if observation.is_floating_point() else observation
    ensemble.standardise_inputs(observation, action)
    ensemble.set_gauge(observation, action)
    seen, done = observation.numpy(), action.numpy()
    assert not reward.reward(seen, done).any()
    assert reward.of_actions(seen, done[:3]).shape == (20, 3)
    arrays = {name: value.copy() for name, value in ensemble.to_arrays().items()}
    for _ in range(2):
        reward.load(arrays)
        expected = ensemble.reward(observation, action).detach().numpy()
        np.testing.assert_allclose(reward.reward(seen, done), expected, atol=1e-6)
        of_actions = reward.of_actions(seen[:7], done[:5])
        for n, c in np.ndindex(7, 5):
            one = ensemble.reward(observation[n : n + 1], action[c : c + 1]).item()
            assert of_actions[n, c] == pytest.approx(one, abs=1e-5)
        # A newer version takes its place, and what becomes of its arrays is none of the reader's business.
        with torch.no_grad():
            for parameter in ensemble.parameters():
                parameter.mul_(1.5)
        before, arrays = arrays, ensemble.to_arrays()  # type: ignore[assignment]
        for value in before.values():
            value[...] = 0


def test_where_there_are_no_images_numpy_acts() -> None:
    for looks in (InputSettings(encoder="flat"), LOOKS):
        reward = acting_reward(InputSpace.of(IMAGE, ACTIONS, looks))
        assert isinstance(reward, NumpyReward) == (looks.encoder == "flat")
    assert isinstance(acting_reward(InputSpace.of(spaces.Box(-1, 1, (3,)), ACTIONS)), NumpyReward)


def test_images_are_what_a_policy_reads_through_convolutions() -> None:
    def images(space: gym.Space[Any], **settings: Any) -> list[str]:
        return [leaf.name for leaf in InputSpace.of(space, ACTIONS, InputSettings(**settings)).images]

    assert images(MIXED) == images(MIXED, encoder="cnn") == ["camera", "top"]
    assert images(MIXED, encoder="flat") == []
    assert images(IMAGE) == [""]
    vector = spaces.Box(-1, 1, (4,))
    assert images(vector) == []
    with pytest.raises(TypeError, match=r"reward.model.encoder: cnn needs an observation with a Box"):
        images(vector, encoder="cnn")
    features = f"{__name__}:brightness"
    assert InputSpace.of(IMAGE, ACTIONS, InputSettings(features=features)).images == ()
    with pytest.raises(TypeError, match="leave one of them out"):
        images(IMAGE, features=features, encoder="cnn")
    assert InputSpace.of(MIXED, ACTIONS).size == 2 + 3 + 4
    with pytest.raises(ValueError, match=r"reward.model.filters: convolution 1 has a kernel of 9"):
        RewardEnsemble(
            InputSpace.of(MIXED, ACTIONS, InputSettings(filters=((4, 9, 1),))), members=1, hidden=()
        )


def brightness(observation_NO: np.ndarray) -> np.ndarray:
    return observation_NO.mean(1, keepdims=True)[:, None].repeat(4, 1)


def test_without_settings_members_are_nature_networks_with_features_of_their_own() -> None:
    space = InputSpace.of(spaces.Box(0, 255, (84, 84, 4), np.uint8), ACTIONS)
    with torch.device("meta"):
        ensemble = RewardEnsemble(space, members=2, hidden=(64,))
    members = [module for module in ensemble.modules() if isinstance(module, Convolutional)]
    assert [m.size for m in members] == [64, 64]
    shapes = [tuple(p.shape) for p in members[0].parameters() if p.dim() == 4]
    assert shapes == [(32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3)]
    assert ensemble.weights[0].shape == (2, 64 + 4, 64)
