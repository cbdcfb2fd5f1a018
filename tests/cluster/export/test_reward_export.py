"""`handrail export` and `handrail eval` of a run without a policy: it acts by what people would say (TAMER)."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import onnxruntime
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from cluster.cli.main import main
from cluster.export.policy_file import FORMATS
from cluster.export.verification import random_observations, verify
from cluster.feedback.versions import model_arrays
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.evaluation import evaluate, evaluate_run
from cluster.loop.learning.saved_policy import saved_reward_model
from cluster.runs import checkpoints
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder
from cluster.runs.loading import save_run
from hitl.errors import HandrailError
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from hitl.reward.serving.deployment import RewardDeployment
from hitl.reward.serving.inference import ActingReward, acting_reward
from hitl.reward.settings import InputSettings
from policies.acting.on_reward import ActingOnReward, CandidateActions
from tests.cluster.identities import SPACES
from tests.cluster.line_people import PEOPLE, Answering, link
from tests.cluster.small_worlds import Dot, Line
from tests.hitl.live import LiveService

IMAGES = InputSettings(filters=((4, 3, 2),), image_features=16)
KINDS: dict[str, tuple[gym.Space[Any], gym.Space[Any], InputSettings]] = {
    "discrete": (*SPACES["discrete"], IMAGES),
    "multi discrete": (spaces.Box(-1, 1, (3,)), spaces.MultiDiscrete([3, 2]), IMAGES),
    "box": (spaces.Box(-1, 1, (3,)), spaces.Box(-1, 2, (2,)), IMAGES),
    "image": (*SPACES["image"], IMAGES),
    "bytes": (*SPACES["image"], InputSettings(encoder="flat")),
    "dict": (*SPACES["dict"], IMAGES),
}


def _opinionated(kind: str) -> tuple[RewardDeployment, ActingReward]:
    """A reward model that prefers other actions in one state than in the next, and who acts by it."""
    observation_space, action_space, settings = KINDS[kind]
    torch.manual_seed(0)
    space = InputSpace.of(observation_space, action_space, settings)
    ensemble = RewardEnsemble(space, members=3, hidden=(16, 16))
    observation = torch.from_numpy(random_observations(observation_space, 60))
    action_space.seed(1)
    action = torch.from_numpy(np.stack([action_space.sample() for _ in range(60)]))
    ensemble.standardise_inputs(observation, action)
    with torch.no_grad():
        ensemble.weights[1].mul_(4)
    ensemble.set_gauge(observation, action)
    acts = acting_reward(space)
    acts.load(ensemble.to_arrays())
    draws = CandidateActions(action_space, count=30, rng=np.random.default_rng(0))
    return RewardDeployment(ensemble, draws.draw()), acts


def _greedy(policy: RewardDeployment, acts: ActingReward, observation: NDArray[Any]) -> NDArray[Any]:
    """What a run does, one observation after the other."""
    action_C = policy.action_C.numpy()
    chosen = [acts.of_actions(one[None], action_C)[0].argmax() for one in observation]
    return action_C[chosen]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_does_what_people_would_praise(kind: str, name: str, tmp_path: Path) -> None:
    (observation_space, action_space, _), (policy, acts) = KINDS[kind], _opinionated(kind)
    path, observation = tmp_path / "policy", random_observations(observation_space, 40)
    FORMATS[name].write(path, policy, (torch.from_numpy(observation[:3]),), "{}")
    answers = FORMATS[name].load(path)
    expected = _greedy(policy, acts, observation)
    assert len(np.unique(expected, axis=0)) > 1
    for count in (1, 2, 40):
        (action,) = answers([observation[:count]])
        np.testing.assert_array_equal(action, expected[:count])
        assert action.dtype == (np.float32 if isinstance(action_space, spaces.Box) else np.int64)
    verify(answers, policy, [observation], what=name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_does_anything_else_is_refused(kind: str) -> None:
    policy, acts = _opinionated(kind)
    observation = random_observations(KINDS[kind][0], 20)
    best = _greedy(policy, acts, observation)
    verify(lambda rows: [best[: len(rows[0])]], policy, [observation], what="true")
    other = policy.action_C.numpy()[np.zeros(20, np.int64)]
    for wrong in (other, np.roll(best, 1, 0), best.astype(np.int32)):
        with pytest.raises(HandrailError, match="the wrong file does not answer"):
            verify(lambda rows, wrong=wrong: [wrong[: len(rows[0])]], policy, [observation], what="wrong")  # type: ignore[misc]


def test_of_two_actions_that_people_like_as_well_either_will_do() -> None:
    policy, _ = _opinionated("discrete")
    with torch.no_grad():
        policy.ensemble.weights[-1].zero_()
    indifferent = RewardDeployment(policy.ensemble, policy.action_C.numpy())
    observation = random_observations(KINDS["discrete"][0], 5)
    for action in range(2):
        verify(lambda rows, a=action: [np.full(len(rows[0]), a)], indifferent, [observation], what="any")  # type: ignore[misc]


def _settings(acting: dict[str, Any] | None = None, **model: Any) -> dict[str, Any]:
    world = {"id": "tests.cluster.small_worlds:Line", "allow_variable_horizon": True}
    reward = PEOPLE["reward"] | {"model": PEOPLE["reward"]["model"] | model}
    return PEOPLE | {"environment": world, "reward": reward, "acting": {"kind": "reward"} | (acting or {})}


def _trained(folder: RunFolder, settings: dict[str, Any], service: LiveService, *, updates: int) -> None:
    """A run with a checkpoint."""
    config = RunConfig.model_validate(settings)
    save_run(config, folder.run_file)
    opened = link(service, folder.run_id)
    with Answering(service, folder.run_id):
        algorithm = HITL(HITLConfig.from_run(config, opened))
        while algorithm.updates < updates:
            algorithm.train()
        checkpoints.write(
            folder.checkpoints,
            number=algorithm.env_steps,
            save=lambda path: algorithm.save_to_path(path.absolute()),
            keep=2,
        )
        algorithm.stop()


class Exported:
    """A file, to be judged."""

    memory = None

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def act_greedily(self, seen_PF: torch.Tensor, /) -> torch.Tensor:
        (action,) = self._session.run(None, {"observation": seen_PF.numpy()})
        return torch.from_numpy(action)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("world", [Line, Dot], ids=lambda world: world.__name__)
def test_a_run_without_a_policy_is_exported_and_evaluated(
    world: type[Any], service: LiveService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder.create(tmp_path, world.__name__.lower(), datetime(2026, 1, 2, tzinfo=UTC))
    looks = {"filters": [[8, 3, 2]], "image_features": 16} if world is Dot else {}
    # It acts nearly at random while it learns, and what comes of it must not.
    settings = _settings({"temperature": 1e6}, **looks)
    settings["environment"] = settings["environment"] | {"id": f"tests.cluster.small_worlds:{world.__name__}"}
    _trained(folder, settings, service, updates=4)
    capsys.readouterr()
    assert main(["export", str(folder.path), "--format", "both", "--output", str(tmp_path / "robot")]) == 0
    said = capsys.readouterr().out
    checkpoint = checkpoints.newest(folder.checkpoints)
    assert checkpoint is not None
    about = json.loads((tmp_path / "robot.pt.json").read_text())
    assert about["reward_version"] >= 1
    assert "policy_version" not in about
    assert f"reward version {about['reward_version']}, checked" in said
    assert about["action"] == {
        "space": "Discrete(2)", "options": 2,
        "meaning": "of 2 actions the one of which people would say the best (TAMER)",
    }  # fmt: skip
    assert about["network"]["members"] == 3
    config = RunConfig.model_validate(settings)
    space = InputSpace.of(world.observation_space, world.action_space, config.reward.model.inputs)
    acts = acting_reward(space)
    acts.load(model_arrays(saved_reward_model(checkpoint)))
    observation = random_observations(world.observation_space, 50)
    draws = CandidateActions(world.action_space, count=1, rng=np.random.default_rng(0))
    expected, _ = ActingOnReward(acts, draws, temperature=0.0, seed=0).act(observation)
    session = onnxruntime.InferenceSession(tmp_path / "robot.onnx")
    assert session.run(None, {"observation": observation})[0].tolist() == expected.tolist()
    script = torch.jit.load(tmp_path / "robot.pt")  # type: ignore[no-untyped-call]
    assert script(torch.from_numpy(observation))[0].tolist() == expected.tolist()
    capsys.readouterr()
    assert main(["eval", str(folder.path), "--episodes", "2"]) == 0
    assert "over 2 episodes" in capsys.readouterr().out
    assert evaluate_run(folder, 5, 7) == evaluate(Exported(session), config.environment, episodes=5, seed=7)


@pytest.mark.usefixtures("ray_session")
def test_what_no_file_can_hold_is_refused_with_what_to_do(
    service: LiveService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(folder: RunFolder, *words: str) -> str:
        assert main(["export", str(folder.path), *words]) == 2
        return capsys.readouterr().err

    young = RunFolder.create(tmp_path, "young", datetime(2026, 1, 2, tzinfo=UTC))
    settings = _settings()
    questions = settings["reward"]["questions"] | {"initial_env_steps": 10**6}
    settings["reward"] = settings["reward"] | {"questions": questions}
    _trained(young, settings, service, updates=0)
    assert "has no reward model yet" in refused(young)
    assert "draws from nothing; leave it out" in refused(young, "--stochastic")
    featured = _settings(features=f"{__name__}:ups_and_downs", hidden=[])
    save_run(RunConfig.model_validate(featured), young.run_file)
    said = refused(young)
    assert f"reward.model.features: {__name__}:ups_and_downs is a Python function" in said
    assert "`handrail eval`" in said
    assert not young.exports.exists() or not list(young.exports.iterdir())


def ups_and_downs(observation_NO: NDArray[Any]) -> NDArray[np.float32]:
    """Where a point on a line would be after each action."""
    place_N1 = observation_NO[:, :1]
    return np.stack([place_N1 - 0.1, place_N1 + 0.1], 1).astype(np.float32)
