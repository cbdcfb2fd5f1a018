"""From what simulated people say, in each way alone and in all together, the order of the reward is recovered."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from benchmarks import journal, recovery
from benchmarks.recovery import OBSERVATIONS, STEPS, People, tau, taught, worth
from cluster.feedback.evidence import online_model
from cluster.runs.reward.config import RewardConfig
from hitl.events import Choice
from hitl.reward.evidence.comparisons import Comparisons
from hitl.reward.evidence.demonstrations import Demonstrations
from hitl.reward.evidence.evidence import Teachers
from hitl.reward.online import OnlineRewardModel
from hitl.reward.settings import FitSettings
from tests.hitl.reward.comparisons import SPACE, answer, comparisons, entry_of, segment

LEAST = {
    "comparisons": 0.8, "rankings": 0.85, "ratings": 0.8, "signals": 0.8, "corrections": 0.5, "demonstrations": 0.5,
    "goals": 0.55,
}  # fmt: skip


@pytest.mark.parametrize("kind", LEAST)
def test_the_order_of_returns_is_recovered_from_each_kind_alone(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "FITS", 3)
    people = People(1)
    model, report = taught({kind: 150}, people, 1)
    assert report.kinds.keys() == {kind}
    assert report.kinds[kind].count == 150
    assert tau(model, people, of_actions=kind == "corrections") > LEAST[kind]
    told = report.kinds[kind].teachers
    assert told["ann"].mean > told["bob"].mean
    assert {one.pieces for one in told.values()} == {75}


def test_all_kinds_together_teach_one_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "FITS", 3)
    people = People(2)
    model, report = taught(dict.fromkeys(LEAST, 30), people, 2)
    assert report.kinds.keys() == LEAST.keys()
    assert tau(model, people) > 0.8


@pytest.mark.parametrize("kind", LEAST)
def test_a_kind_that_is_switched_off_teaches_nothing(kind: str) -> None:
    config = RewardConfig.model_validate({"model": {"kinds": {kind: 0}}})
    model = online_model(config, OBSERVATIONS, gym.spaces.Discrete(3), seed=0)
    assert model.evidence.keys() == LEAST.keys() - {kind}


def test_a_kind_of_little_weight_gives_way_to_the_others() -> None:
    """Half of the comparisons say the opposite as ratings do."""
    people, found = People(3), []
    for weight in (0.01, 100.0):
        config = RewardConfig.model_validate({"model": recovery.MODEL | {"kinds": {"ratings": weight}}})
        model = online_model(config, OBSERVATIONS, gym.spaces.Discrete(3), seed=0)
        model.set_probe(np.random.default_rng(0).standard_normal((300, 3), np.float32), np.arange(300) % 3)
        for number in range(200):
            kind = ("comparisons", "ratings")[number % 2]
            event, segments = people.say(kind, "ann")
            if kind == "comparisons":
                better = worth(segments[0]) > worth(segments[1])
                object.__setattr__(event, "choice", Choice.SECOND if better else Choice.FIRST)
            model.take(journal.entry_of(event, "ann", segments, offset=int(event.event_id[1:])), segments)
        model.fit(is_first=True)
        found.append(tau(model, people))
    assert found[0] < -0.5
    assert found[1] > 0.5


def test_the_share_of_ties_is_that_of_davidsons_model() -> None:
    """Between equals a tie has the share nu / (2 + nu)."""
    a, share = segment("a"), 0.4
    told = [
        answer(i, a, a, Choice.TIE if i < 80 else (Choice.FIRST, Choice.SECOND)[i % 2]) for i in range(200)
    ]
    model = OnlineRewardModel(
        SPACE,
        members=2,
        hidden=(),
        settings=FitSettings(learning_rate=0.05, weight_decay=0.0, gradient_steps=400),
        evidence=[comparisons(lapse=0.0)],
        heldout_share=0.0,
        seed=0,
    )
    model.set_probe(np.random.default_rng(0).standard_normal((50, 2), np.float32), np.arange(50) % 3)
    for one in told:
        model.take(*entry_of(one))
    # The same for both members: each has its own resample else.
    kind = model.evidence["comparisons"]
    assert isinstance(kind, Comparisons)
    kind.batch = len(told)
    examples = kind.examples(model.ensemble)
    assert examples is not None
    examples.bootstrap_KE[:] = 1.0
    kind.examples = lambda _: examples  # type: ignore[method-assign]
    model.fit(is_first=True)
    assert model.ensemble.log_tie.item() == pytest.approx(np.log(2 * share / (1 - share)), abs=0.02)


def test_demonstrations_are_cut_into_windows_and_held_against_what_the_policy_does() -> None:
    kind = Demonstrations(Teachers(), steps=5, alternatives=3, batch=4, heldout_share=0.0, seed=0)
    model = OnlineRewardModel(
        SPACE,
        members=2,
        hidden=(),
        settings=FitSettings(learning_rate=0.05, weight_decay=0.0, gradient_steps=5),
        evidence=[kind],
        heldout_share=0.0,
        seed=0,
    )
    shown = segment("shown", steps=12)
    for _ in range(2):
        kind.add("run", "ann", "event", [shown])
    assert len(kind) == 3
    assert kind.examples(model.ensemble) is None
    own = [segment(f"own-{n}", steps=5) for n in range(4)]
    kind.show_own(own)
    examples = kind.examples(model.ensemble)
    assert examples is not None
    *inputs, weight, said = examples.of(torch.arange(3))
    assert weight.shape == (3, 4, 5)
    assert said.tolist() == [0, 0, 0]
    seen = inputs[0][..., :2] * model.ensemble.input_std[:2] + model.ensemble.input_mean[:2]
    states = np.asarray(shown.observations["obs"])
    # The last window reaches back, so that it is as long as the others.
    for row, begin in enumerate((0, 5, 7)):
        np.testing.assert_allclose(seen[row, 0].numpy(), states[begin : begin + 5], atol=1e-6)
    known = [np.asarray(s.observations["obs"]) for s in own]
    for row, column in np.ndindex(3, 3):
        assert any(np.allclose(seen[row, 1 + column].numpy(), one, atol=1e-6) for one in known)
    kind.retract("run", "ann", "event")
    assert len(kind) == 0
    kind.forget_own()
    assert kind.examples(model.ensemble) is None


def test_only_the_newest_of_what_the_policy_does_are_kept() -> None:
    kind = Demonstrations(Teachers(), steps=STEPS, alternatives=1, batch=4, heldout_share=0.0, seed=0)
    kind.show_own(segment(f"own-{n}") for n in range(600))
    assert next(iter(kind._own)) == "own-88"
    assert len(kind._own) == 512
