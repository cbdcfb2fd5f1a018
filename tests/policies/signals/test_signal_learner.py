import copy
from typing import Any

import numpy as np
import pytest
import torch

from policies.networks import ActorCritic
from policies.signals.settings import PolicyReading, SignalSettings
from policies.signals.signal_batch import SignalBatch
from policies.signals.signal_learner import SignalLearner
from tests.policies.rollouts import ACTION_SPACE, OBSERVATION, OBSERVATION_SPACE
from tests.policies.signals.made_up import batch_of, signal

READINGS: tuple[PolicyReading, ...] = ("advantage", "return", "regret")


def signals(count: int) -> SignalBatch:
    rng = np.random.default_rng(0)
    given = []
    for _ in range(count):
        observation = rng.normal(size=(2, OBSERVATION))
        action = rng.integers(0, 2, 2)
        given.append(signal(observation, action, 1.0 if action[-1] == (observation[-1, 0] > 0) else -1.0))
    return batch_of(OBSERVATION_SPACE, ACTION_SPACE, given)


def network(**changes: Any) -> ActorCritic:
    torch.manual_seed(0)
    return ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(8,), **changes)


def settings(reading: PolicyReading) -> SignalSettings:
    return SignalSettings(reading=reading, learning_rate=0.02, minibatch_size=16, gradient_steps=30)


@pytest.mark.parametrize("reading", READINGS)
def test_a_policy_learns_in_place_and_its_critic_does_not(reading: PolicyReading) -> None:
    made, batch = network(), signals(60)
    critic, places = copy.deepcopy(made.critic.state_dict()), [p.data_ptr() for p in made.parameters()]
    learner = SignalLearner(made, settings(reading))
    told = [learner.learn(batch, torch.Generator().manual_seed(n)) for n in range(8)]
    assert set(told[0]) == {"signal_loss", "signal_entropy", "signal_gradient_norm"}
    # What has moved as far as it may is no part of the others' losses any more.
    assert reading != "regret" or told[-1]["signal_loss"] < told[0]["signal_loss"]
    assert max(told[0]["signal_entropy"], told[-1]["signal_entropy"]) < np.log(2) + 1e-3
    seen = torch.randn(200, OBSERVATION)
    assert (made.act_greedily(seen) == (seen[:, 0] > 0)).float().mean() > 0.85
    torch.testing.assert_close(made.critic.state_dict(), critic)
    assert [p.data_ptr() for p in made.parameters()] == places


def test_it_goes_on_from_the_weights_and_statistics_that_the_network_has() -> None:
    made = network(normalise_observations=True)
    learner, batch = SignalLearner(made, settings("advantage")), signals(40)
    learner.learn(batch, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in made.policy.parameters():
            parameter.zero_()
    made.observe(torch.randn(100, OBSERVATION) * 5 + 3)
    other = copy.deepcopy(made)
    fresh = SignalLearner(other, settings("advantage"))
    fresh.set_state(learner.get_state())
    one, same = (x.learn(batch, torch.Generator().manual_seed(1)) for x in (learner, fresh))
    assert one == same
    torch.testing.assert_close(made.state_dict(), other.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("reading", READINGS)
def test_resumed_learning_is_bit_for_bit_that_which_was_not_stopped(reading: PolicyReading) -> None:
    def run(*, stopped: bool) -> dict[str, torch.Tensor]:
        made, generator = network(), torch.Generator().manual_seed(0)
        learner = SignalLearner(made, settings(reading))
        learner.learn(signals(20), generator)
        if stopped:
            state = copy.deepcopy(learner.get_state())
            learner = SignalLearner(made, settings(reading))
            learner.set_state(state)
        learner.learn(signals(40), generator)
        return made.state_dict()

    torch.testing.assert_close(run(stopped=True), run(stopped=False), rtol=0, atol=0)


def test_a_state_stays_what_it_was() -> None:
    learner = SignalLearner(network(), settings("advantage"))
    learner.learn(signals(20), torch.Generator().manual_seed(0))
    state = learner.get_state()
    kept = copy.deepcopy(state)
    learner.learn(signals(20), torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(state["number"], kept["number"])
    np.testing.assert_array_equal(state["first_log_prob"], kept["first_log_prob"])
    assert len(state["number"]) == 20
    np.testing.assert_array_equal(state["exp_avg"], kept["exp_avg"])
    assert float(state["step"]) == 30


def test_new_signals_are_in_every_minibatch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from policies.signals.minibatches import SignalMinibatches

    asked: list[int] = []
    draw = SignalMinibatches.draw

    def noting(self: Any, generator: Any, *, newest: int = 0) -> Any:
        asked.append(newest)
        return draw(self, generator, newest=newest)

    monkeypatch.setattr(SignalMinibatches, "draw", noting)
    learner = SignalLearner(network(), settings("return"))
    for count in (20, 23, 23):
        learner.learn(signals(count), torch.Generator().manual_seed(0))
    assert asked == [20] * 30 + [3] * 30 + [0] * 30


def test_without_signals_nothing_happens() -> None:
    made = network()
    before = copy.deepcopy(made.state_dict())
    learner = SignalLearner(made, settings("regret"))
    assert learner.learn(signals(0), torch.Generator()) == {}
    torch.testing.assert_close(made.state_dict(), before)
