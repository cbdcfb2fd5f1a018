"""Which of the policy's steps the guard looks at, and beside what."""

from typing import Any

import gymnasium as gym
import numpy as np

from cluster.feedback.guarding import Guard
from cluster.runs.reward.config import RewardConfig
from cluster.runs.reward.guards import GuardsConfig
from hitl.reward.checks.alarms import AlarmState, OnPolicy
from hitl.reward.network.inputs import InputSpace
from policies.spaces import Leaf
from tests.hitl.live import make_segment


class Fresh:
    """Rollouts of env runners, as the guard asks for them; it notes how."""

    def __init__(self) -> None:
        self.batches, self.gathered = 1, [("rollout", None)]
        self.drawn: list[tuple[int, bool, bool]] = []

    def newest_batch(self) -> list[Any]:
        return self.gathered

    def draw_steps(self, most: int, rng: np.random.Generator, *, with_next: bool, newest: bool) -> Any:
        self.drawn.append((most, with_next, newest))
        return rng.random(3), most


class Model:
    """Finds in every batch that the policy saturates; it notes what it was shown."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def look(self, steps: Any, judged: Any) -> OnPolicy:
        self.shown.append((steps, judged))
        return OnPolicy(predicted=1.0, disagreement=1.0, saturation=1.0)


def _looking(**space: Any) -> Guard:
    sizes: dict[str, Any] = {"observation_size": 2, "action_size": 2, "discrete": True}
    reward = RewardConfig(guards=GuardsConfig(patience=1.5))
    return Guard(reward, InputSpace(**sizes | space))


def _look(guard: Guard, fresh: Any, model: Any, env_steps: int) -> None:
    guard.look(fresh, model, env_steps=env_steps)


def test_each_batch_is_looked_at_once_beside_what_people_judged() -> None:
    guard, fresh, model = _looking(), Fresh(), Model()
    guard.take([make_segment("judged", steps=3, width=2)])
    for _ in range(2):
        _look(guard, fresh, model, 100)
    assert len(model.shown) == guard.state.batches == 1
    assert fresh.drawn == [(1024, False, True)]
    (steps, judged) = model.shown[0]
    assert judged[0].shape == (3, 2)
    fresh.batches = 2
    _look(guard, fresh, model, 200)
    assert guard.state.reason == "saturation"
    assert guard.state.raised == ((200, "saturation"),)
    # Chance is a function of where the run is, and of nothing before.
    again, other = _looking(), Model()
    again.take([make_segment("judged", steps=3, width=2)])
    _look(again, Fresh(), other, 200)
    np.testing.assert_array_equal(other.shown[0][0][0], model.shown[1][0][0])
    assert not np.array_equal(steps[0], model.shown[1][0][0])


def test_without_anything_judged_or_gathered_there_is_nothing_to_look_at() -> None:
    guard, fresh, model = _looking(), Fresh(), Model()
    _look(guard, fresh, model, 100)
    guard.take([make_segment("judged", width=2)])
    _look(guard, fresh, model, 100)
    assert not model.shown, "what was there when nobody had judged anything is over"
    fresh.batches, fresh.gathered = 2, []
    _look(guard, fresh, model, 200)
    assert not model.shown
    assert guard.state == AlarmState()


def test_a_model_that_remembers_is_not_looked_at() -> None:
    guard, fresh, model = _looking(memory_units=4), Fresh(), Model()
    guard.take([make_segment("judged", width=2)])
    _look(guard, fresh, model, 100)
    assert not model.shown


def test_what_followed_is_drawn_where_it_is_read_and_fewer_steps_where_there_are_images() -> None:
    image = Leaf("camera", gym.spaces.Box(0, 1, (2,)), 0, 2)
    guard, fresh = _looking(observation_size=4, reads="state_action_next", images=(image,)), Fresh()
    guard.take([make_segment("judged", steps=200, width=2)])
    model = Model()
    _look(guard, fresh, model, 100)
    assert fresh.drawn == [(128, True, True)]
    assert model.shown[0][1][0].shape == (128, 4)
