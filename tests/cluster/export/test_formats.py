"""A file answers as the policy that it was made of, and is refused if it does not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cluster.export.file_format import FileFormat
from cluster.export.policy_file import FORMATS
from cluster.export.verification import random_inputs, random_observations, verify
from hitl.errors import HandrailError
from policies.acting.deployment import Deployment
from policies.networks import Context
from tests.cluster.export.deployed import KINDS, greedy, opinionated

in_each_format = pytest.mark.parametrize("name", FORMATS)


def _written(name: str, kind: str, folder: Path, **settings: Any) -> tuple[FileFormat, Path]:
    (observation_space, action_space), _ = KINDS[kind]
    policy = Deployment(opinionated(kind), action_space, **settings)
    file_format, path = FORMATS[name], folder / f"policy{FORMATS[name].ending}"
    file_format.write(
        path, policy, tuple(map(torch.from_numpy, random_inputs(policy, observation_space, 3))), "{}"
    )
    return file_format, path


@in_each_format
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "recurrent"])
def test_a_file_acts_as_the_policy_does(name: str, kind: str, tmp_path: Path) -> None:
    (observation_space, action_space), _ = KINDS[kind]
    file_format, path = _written(name, kind, tmp_path)
    answers = file_format.load(path)
    observation = random_observations(observation_space, 40)
    expected = greedy(opinionated(kind), action_space, observation)
    assert len(np.unique(expected, axis=0)) > 1
    for count in (1, 2, 40):
        (action,) = answers([observation[:count]])
        np.testing.assert_allclose(action, expected[:count], atol=1e-5)
        assert action.dtype == expected.dtype


@in_each_format
def test_a_recurrent_file_takes_and_returns_what_it_remembers(name: str, tmp_path: Path) -> None:
    (observation_space, action_space), _ = KINDS["recurrent"]
    file_format, path = _written(name, "recurrent", tmp_path, stochastic=True)
    answers, network = file_format.load(path), opinionated("recurrent")
    episodes = random_observations(observation_space, 12).reshape(6, 2, -1)
    found, remembered = [], np.zeros((2, 5), np.float32)
    for observation in episodes:
        action, remembered, *_ = answers([observation, remembered])
        found.append(action)
    begin = torch.tensor([[True, *[False] * 5]] * 2)
    context = Context(torch.randn(2, 5), begin)
    with torch.no_grad():
        seen = network.see(torch.from_numpy(episodes).transpose(0, 1), context).transpose(0, 1)
        expected = network.act_greedily(seen).numpy().clip(action_space.low, action_space.high)
    np.testing.assert_allclose(np.stack(found), expected, atol=1e-5)
    np.testing.assert_allclose(remembered, seen[-1].numpy(), atol=1e-5)


@in_each_format
@pytest.mark.parametrize("kind", ["multi discrete", "box"])
def test_a_stochastic_file_tells_what_actions_are_drawn_from(name: str, kind: str, tmp_path: Path) -> None:
    (observation_space, _), _ = KINDS[kind]
    file_format, path = _written(name, kind, tmp_path, stochastic=True)
    observation, network = random_observations(observation_space, 9), opinionated(kind)
    _, *parameters = file_format.load(path)([observation])
    action, log_prob = network.act(torch.from_numpy(observation))
    if kind == "box":
        mean, std = map(torch.from_numpy, parameters)
        found = torch.distributions.Normal(mean, std).log_prob(action).sum(-1)
    else:
        (log_probabilities,) = map(torch.from_numpy, parameters)
        first, second = log_probabilities.split([3, 2], -1)
        found = first.gather(1, action[:, :1])[:, 0] + second.gather(1, action[:, 1:])[:, 0]
    torch.testing.assert_close(found, log_prob)


@in_each_format
def test_a_file_leaves_the_critic_behind(name: str, tmp_path: Path) -> None:
    _, path = _written(name, "box", tmp_path)
    critic = opinionated("box").critic[0].weight.detach().numpy()
    policy = opinionated("box").policy[0].weight.detach().numpy()
    assert policy.tobytes() in path.read_bytes()
    assert critic.tobytes() not in path.read_bytes()


def test_an_onnx_file_does_not_tell_where_it_was_made(tmp_path: Path) -> None:
    _, path = _written("onnx", "box", tmp_path)
    assert b".py" not in path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_answers_that_are_not_the_policys_are_refused(kind: str) -> None:
    (observation_space, action_space), _ = KINDS[kind]
    policy = Deployment(opinionated(kind), action_space)
    inputs = random_inputs(policy, observation_space, 20)

    def answers(rows: list[NDArray[Any]]) -> list[NDArray[Any]]:
        with torch.no_grad():
            return [output.numpy() for output in policy(*map(torch.from_numpy, rows))]

    verify(answers, policy, inputs, what="true")
    for wrong in (
        lambda rows: [np.roll(output, 1, 0) for output in answers(rows)],
        lambda rows: [output[..., :1] for output in answers(rows)],
        lambda rows: [output.astype(np.float64) for output in answers(rows)],
    ):
        with pytest.raises(HandrailError, match="the wrong file does not answer"):
            verify(wrong, policy, inputs, what="wrong")


def test_of_two_actions_that_are_equally_probable_either_will_do() -> None:
    (observation_space, action_space), _ = KINDS["discrete"]
    network = opinionated("discrete")
    with torch.no_grad():
        network.policy[-1].weight.zero_()
        network.policy[-1].bias.copy_(torch.tensor([0.0, 1.0, 1.0 + 1e-6, 0.5]))
    policy, inputs = Deployment(network, action_space), [random_observations(observation_space, 5)]
    verify(lambda rows: [np.full(len(rows[0]), 1)], policy, inputs, what="as good")
    with pytest.raises(HandrailError):
        verify(lambda rows: [np.full(len(rows[0]), 3)], policy, inputs, what="worse")


def test_a_policy_that_diverged_is_refused() -> None:
    (observation_space, action_space), _ = KINDS["box"]
    network = opinionated("box")
    with torch.no_grad():
        network.policy[-1].bias.fill_(torch.nan)
    policy = Deployment(network, action_space)
    with pytest.raises(HandrailError, match="diverged"):
        verify(lambda rows: [], policy, [random_observations(observation_space, 5)], what="any")
