"""What signals are measured from, by who acts and where the reward comes from."""

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import ray
import torch

from cluster.feedback.evidence import evidence_of
from cluster.feedback.reward_trainer import RewardTrainer
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.settings.derived_settings import signals_as_read
from cluster.runs.config import RunConfig
from cluster.runs.live_config import ActingConfig
from cluster.runs.reward.config import RewardConfig, RewardSourcesConfig
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.signals import SignalsConfig
from hitl.acting import make_acting
from hitl.reward.evidence.evidence import Teachers
from hitl.reward.evidence.signals import Signals
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from policies.acting.on_reward import ActingOnReward
from tests.cluster.line_people import PEOPLE, link
from tests.hitl.live import LiveService
from tests.hitl.reward.test_crediting import entry, segment

SEEN = gym.spaces.Box(-1, 1, (2,))
THREE = gym.spaces.Discrete(3)
BOX = gym.spaces.Box(-1, 2, (2,))


def read(kind: str, *, learned: float = 0.0, environment: float = 1.0, **signals: Any) -> SignalsConfig:
    config = HITLConfig().people(
        sources=RewardSourcesConfig(learned=learned, environment=environment),
        signals=SignalsConfig(**signals),
        acting=ActingConfig.model_validate({"kind": kind}),
    )
    return signals_as_read(config)


@pytest.mark.parametrize(
    ("kind", "learned", "environment", "baseline"),
    [
        # A policy's reward is what it is in itself.
        ("policy", 0.0, 1.0, "none"),
        ("policy", 1.0, 0.0, "none"),
        ("policy", 0.5, 1.0, "none"),
        ("action_biasing", 1.0, 0.0, "none"),
        ("action_biasing", 0.5, 1.0, "none"),
        ("action_biasing", -0.5, 1.0, "none"),
        ("control_sharing", 1.0, 0.0, "none"),
        ("control_sharing", 0.5, 1.0, "none"),
        # Of these only the order of actions counts.
        ("action_biasing", 0.0, 1.0, "alternatives"),
        ("control_sharing", 0.0, 1.0, "alternatives"),
        # There is no policy, whatever the sources say.
        ("reward", 1.0, 0.0, "alternatives"),
        ("reward", 0.5, 1.0, "alternatives"),
        ("reward", 0.0, 1.0, "alternatives"),
        ("reward", 0.0, 0.0, "alternatives"),
    ],
)
def test_signals_are_held_against_the_other_actions_where_only_their_order_counts(
    kind: str, learned: float, environment: float, baseline: str
) -> None:
    assert read(kind, learned=learned, environment=environment).baseline == baseline


@pytest.mark.parametrize("kind", ["policy", "reward", "action_biasing", "control_sharing"])
@pytest.mark.parametrize("learned", [0.0, 1.0])
@pytest.mark.parametrize("baseline", ["none", "alternatives"])
def test_what_a_run_file_says_is_done(kind: str, learned: float, baseline: str) -> None:
    found = read(kind, learned=learned, baseline=baseline, alternatives=3, batch=7)
    assert found == SignalsConfig(baseline=baseline, alternatives=3, batch=7)  # type: ignore[arg-type]


def test_all_else_stays_as_it_was() -> None:
    told: dict[str, Any] = {"alternatives": 4, "batch": 7, "smallest_share": 0.2}
    assert read("reward", **told) == SignalsConfig(baseline="alternatives", **told)


def signals_of(signals: SignalsConfig, actions: gym.Space[Any]) -> Signals:
    space = InputSpace.of(SEEN, actions)
    reward = RewardConfig(model=RewardModelConfig(heldout_share=0.0), signals=signals)
    kinds = evidence_of(reward, space, actions, Teachers(), seed=0)
    (found,) = (kind for kind in kinds if isinstance(kind, Signals))
    return found


@pytest.mark.parametrize(
    ("baseline", "actions", "count"),
    [("alternatives", THREE, 3), ("alternatives", BOX, 5), ("none", THREE, 0), ("none", BOX, 0)],
    ids=str,
)
def test_evidence_has_as_many_alternatives_as_the_run_file_says(
    baseline: Any, actions: gym.Space[Any], count: int
) -> None:
    kind = signals_of(SignalsConfig(baseline=baseline, alternatives=5, smallest_share=0.0), actions)
    seen, done = np.zeros((40, 2), np.float32), np.array([actions.sample() for _ in range(40)])
    kind.take(entry(30), [dataclasses.replace(segment(1, 40), observations={"obs": seen}, actions=done)])
    examples = kind.examples(RewardEnsemble(InputSpace.of(SEEN, actions), members=2, hidden=()))
    assert examples is not None
    *_, weight, value = examples.of(torch.tensor([0]))
    assert value.tolist() == [-1.0]
    assert weight.shape[2:] == ((1 + count,) if count else ())
    assert float(weight.sum()) == pytest.approx(0.0 if count else 1.0, abs=1e-6)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(("kind", "alternatives"), [("reward", True), ("policy", False)])
def test_the_reward_trainer_of_a_run_reads_signals_so(
    service: LiveService, kind: str, alternatives: bool
) -> None:
    config = RunConfig.model_validate(PEOPLE | {"acting": {"kind": kind}})
    algorithm = HITL(HITLConfig.from_run(config, link(service, f"baseline {kind}")))

    def space_of(trainer: RewardTrainer) -> gym.Space[Any] | None:
        kind = trainer._model.evidence["signals"]
        assert isinstance(kind, Signals)
        return kind._space

    assert algorithm.teaching is not None
    found = ray.get(algorithm.teaching.trainer.__ray_call__.remote(space_of))
    algorithm.stop()
    assert found == (gym.spaces.Discrete(2) if alternatives else None)


def opinions(actions: gym.Space[Any]) -> RewardEnsemble:
    """A reward model that looks at actions alone."""
    torch.manual_seed(0)
    ensemble = RewardEnsemble(InputSpace.of(SEEN, actions), members=2, hidden=())
    with torch.no_grad():
        ensemble.weights[0][:, :2] = 0.0
        ensemble.weights[0].mul_(5.0)
    return ensemble


def test_what_people_are_expected_to_say_is_measured_from_the_mean_where_the_reward_model_acts() -> None:
    ensemble, state = opinions(THREE), np.zeros(2, np.float32)
    worth = ensemble.of_actions(torch.zeros((1, 2)), torch.arange(3))[0].tolist()
    for kind, mean in (
        ("reward", sum(worth) / 3), ("action_biasing", 0.0), ("control_sharing", 0.0), ("policy", 0.0)
    ):  # fmt: skip
        acting = make_acting(
            ActingConfig.model_validate({"kind": kind}), SEEN, THREE,
            seed=0, model_config={"hidden": ()}, predicts=True,
        )  # fmt: skip
        assert acting.predicted_reward(state, np.array(1)) is None
        acting.show_reward(1, ensemble.to_arrays())
        for action in range(3):
            found = acting.predicted_reward(state, np.array(action))
            assert found == pytest.approx(worth[action] - mean, abs=1e-5)


def test_of_a_box_the_mean_is_that_of_actions_drawn() -> None:
    ensemble, state = opinions(BOX), np.zeros(2, np.float32)
    settings = ActingConfig(kind="reward", candidates=4000)
    acting = make_acting(settings, SEEN, BOX, seed=0, model_config={})
    acting.show_reward(1, ensemble.to_arrays())
    middle, corner = np.array([0.5, 0.5], np.float32), np.array([2.0, -1.0], np.float32)
    # What is linear has its mean in the middle.
    in_middle, in_corner = ensemble.of_actions(torch.zeros((1, 2)), torch.tensor(np.stack([middle, corner])))[
        0
    ].tolist()
    assert abs(in_corner - in_middle) > 0.5
    assert acting.predicted_reward(state, corner) == pytest.approx(in_corner - in_middle, abs=0.1)


@pytest.mark.parametrize("temperature", [0.0, 0.05, 1e6])
def test_the_reward_model_acts_as_warmly_as_the_run_file_says(temperature: float) -> None:
    acting = make_acting(
        ActingConfig(kind="reward", temperature=temperature), SEEN, THREE, seed=0, model_config={}
    )
    ensemble = opinions(THREE)
    with torch.no_grad():
        ensemble.weights[0][:, 2:] = torch.tensor([[0.0], [3.0], [0.0]])
    acting.show_reward(1, ensemble.to_arrays())
    assert isinstance(acting.acts, ActingOnReward)
    action, _ = acting.acts.act(np.zeros((300, 2), np.float32))
    assert set(action.tolist()) == ({0, 1, 2} if temperature > 1 else {1})
