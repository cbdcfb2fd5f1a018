"""Signals that tell how much better an action is than the others, and not how good the step is."""

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from hitl.credit import UniformDelay
from hitl.events import JournalEntry, Segment, Signal
from hitl.reward.evidence.crediting import Crediting
from hitl.reward.evidence.evidence import Teachers
from hitl.reward.evidence.signals import Signals
from hitl.reward.network.inputs import InputSpace
from hitl.reward.online import OnlineRewardModel
from hitl.reward.settings import FitSettings
from tests.hitl.reward.test_crediting import entry, segment

ACTIONS: dict[str, tuple[gym.Space[Any], int]] = {
    "discrete": (gym.spaces.Discrete(3), 3),
    "axes": (gym.spaces.MultiDiscrete([2, 3]), 6),
    "box": (gym.spaces.Box(-1.0, 2.0, (2,)), 15),
}
OBSERVATIONS = gym.spaces.Box(-50, 50, (1,))


def world(actions: gym.Space[Any], frames: int = 40) -> Segment:
    """Frame n begins in the state [n]; its action is drawn."""
    actions.seed(0)
    done = np.array([actions.sample() for _ in range(frames)])
    return dataclasses.replace(segment(1, frames), actions=done)


def said(number: int, frame: int, value: float) -> JournalEntry:
    one = entry(frame, 0.0, value)
    assert one.event is not None
    return dataclasses.replace(one, event=dataclasses.replace(one.event, event_id=f"event-{number}"))  # type: ignore[type-var]


def kind_of(actions: gym.Space[Any] | None) -> Signals:
    return Signals(
        Crediting(UniformDelay(0.0, 0.3), across_episodes=False, smallest_share=0.5),
        Teachers(),
        most_steps=16,
        batch=16,
        heldout_share=0.0,
        members=2,
        seed=0,
        action_space=actions,
        alternatives=15,
    )


def model_of(kind: Signals, actions: gym.Space[Any]) -> OnlineRewardModel:
    made = OnlineRewardModel(
        InputSpace.of(OBSERVATIONS, actions),
        members=2,
        hidden=(16,),
        settings=FitSettings(learning_rate=0.01, weight_decay=0.0, gradient_steps=60),
        evidence=[kind],
        heldout_share=0.0,
        seed=0,
    )
    shown = world(actions)
    made.set_probe(np.asarray(shown.observations["obs"], np.float32), np.asarray(shown.actions))
    return made


@pytest.mark.parametrize("name", ACTIONS)
def test_what_is_expected_is_the_credited_reward_less_the_mean_of_the_alternatives(name: str) -> None:
    actions, count = ACTIONS[name]
    kind, shown = kind_of(actions), world(actions)
    for number, frame in enumerate((10, 20, 33)):
        kind.take(said(number, frame, 0.5), [shown])
    ensemble = model_of(kind, actions).ensemble
    with torch.no_grad():
        ensemble.signals.log_scale.fill_(0.3)
        ensemble.signals.offset.fill_(-0.2)
    examples = kind.examples(ensemble)
    assert examples is not None
    assert kind._rows is not None
    *told, value = examples.of(torch.tensor([2, 0]))
    found_KB = kind.likelihood.predict(ensemble, *told)
    assert value.tolist() == [0.5, 0.5]

    def raw(place: int, action: Any) -> torch.Tensor:
        return ensemble.raw(torch.tensor([[float(place)]]), torch.as_tensor(np.array([action])))[:, 0]

    for column, (row, frame) in enumerate(((2, 33), (0, 10))):
        others = kind._rows.alternative_SCA[row]
        assert len(others) == count
        assert all(actions.contains(other) for other in others)
        # Delays of up to 0.3 s at ten steps a second: three steps, each with a third.
        expected_K = torch.zeros(2)
        for place in range(frame - 3, frame):
            done = np.asarray(shown.actions)[place - 1]
            baseline = sum(raw(place, other) for other in others) / count
            expected_K = expected_K + (raw(place, done) - baseline) / 3
        expected_K = expected_K * np.exp(0.3) - 0.2
        torch.testing.assert_close(found_KB[:, column], expected_K, rtol=1e-4, atol=1e-4)


def test_alternatives_follow_from_the_event() -> None:
    actions, _ = ACTIONS["box"]
    first, again = kind_of(actions), kind_of(actions)
    for kind, numbers in ((first, (0, 1)), (again, (1, 0))):
        for number in numbers:
            kind.take(said(number, 10 + number, 1.0), [world(actions)])
    assert first._rows is not None
    assert again._rows is not None
    np.testing.assert_array_equal(first._rows.alternative_SCA[0], again._rows.alternative_SCA[1])
    assert (first._rows.alternative_SCA[0] != first._rows.alternative_SCA[1]).any()
    # The same id in another run is another event.
    one = said(0, 10, 1.0)
    assert isinstance(one.event, Signal)
    there = dataclasses.replace(one, event=dataclasses.replace(one.event, run_id="another"))
    first.take(there, [world(actions)])
    assert (first._rows.alternative_SCA[2] != first._rows.alternative_SCA[0]).any()


def test_many_signals_find_room_and_their_alternatives_stay() -> None:
    actions, _ = ACTIONS["box"]
    kind, shown = kind_of(actions), world(actions)
    alone = []
    for number in range(100):
        told = said(number, 5 + number % 30, 1.0)
        kind.take(told, [shown])
        one = kind_of(actions)
        one.take(told, [shown])
        assert one._rows is not None
        alone.append(one._rows.alternative_SCA[0])
    assert kind._rows is not None
    np.testing.assert_array_equal(kind._rows.alternative_SCA[:100], np.stack(alone))


@pytest.mark.parametrize("relative", [True, False])
def test_who_is_punished_for_all_that_they_do_tries_something_else(relative: bool) -> None:
    """In the states 1 to 19 all three actions are told of, in 20 to 39 action 2 alone, which is bad there.

    Held against the alternatives, what is bad leaves the others as the better ones. By itself, a step is bad there
    whatever is done, and action 2 stays the best: the first states say so.
    """
    actions = gym.spaces.Discrete(3)
    shown = world(actions)
    done = np.asarray(shown.actions).copy()
    done[19:] = 2
    shown = dataclasses.replace(shown, actions=done)
    kind = kind_of(actions if relative else None)
    model = model_of(kind, actions)
    for number in range(300):
        frame = 2 + number % 38
        value = (1.0 if done[frame - 2] == 2 else -1.0) if frame < 21 else -1.0
        kind.take(said(number, frame, value), [shown])
    for _ in range(5):
        model.fit()
    places = torch.arange(26.0, 38.0)[:, None]
    worth_NA = model.ensemble.of_actions(places, torch.arange(3)).detach()
    others_are_better = (worth_NA.argmax(1) != 2).float().mean()
    assert others_are_better > 0.9 if relative else others_are_better < 0.1
