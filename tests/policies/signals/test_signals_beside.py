"""Signals beside an objective: one step of both is one step down the sum of their gradients."""

from typing import Any

import numpy as np
import pytest
import torch

from policies.networks import ActorCritic
from policies.signals.beside import SignalsBeside
from policies.signals.settings import PolicyReading, SignalSettings
from policies.signals.signal_loss import SignalLoss
from tests.policies.imitation.test_beside import labels
from tests.policies.objectives.small_policies import settings
from tests.policies.rollouts import ACTION_SPACE, OBSERVATION_SPACE, made_up_rollout
from tests.policies.signals.test_signal_learner import network, signals
from tests.policies.updates import make_update

READINGS: tuple[PolicyReading, ...] = ("advantage", "return", "regret")
CPU = torch.device("cpu")


def beside(reading: PolicyReading, coefficient: float, size: int = 16) -> SignalsBeside:
    return SignalsBeside(signals(40), reads(reading, size), coefficient=coefficient, device=CPU)


def reads(reading: PolicyReading, size: int = 16) -> SignalSettings:
    return SignalSettings(reading=reading, minibatch_size=size, entropy_coefficient=0.0)


def learnt(
    reading: PolicyReading, coefficient: float | None, **others: Any
) -> tuple[ActorCritic, dict[str, float]]:
    made = network()
    update = make_update(made, settings(epochs=1, minibatch_size=10_000, signals=reads(reading)))
    given = None if coefficient is None else beside(reading, coefficient)
    return made, update(made_up_rollout(), torch.Generator().manual_seed(0), signals=given, **others)


@pytest.mark.parametrize("reading", READINGS)
def test_a_step_goes_down_the_sum_of_both_gradients(
    reading: PolicyReading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient is written down instead of Adam's step; that of the signals alone is autograd's."""
    from policies.descent.gradient_step import GradientStep

    gradients = []

    def note(self: Any, flat: Any, rate: Any, *state_and_gradient: Any) -> Any:
        gradients.append(state_and_gradient[-1].clone())
        return torch.zeros(())

    monkeypatch.setattr(GradientStep, "_descend", note)
    monkeypatch.setattr(
        "policies.descent.gradient_step.trace", lambda f, staying, given: lambda *g: f(*staying, *g)
    )
    learnt(reading, None)
    learnt(reading, 0.7)
    plain, both = gradients
    made = network()
    *batch, coefficient = beside(reading, 0.7).draw(torch.Generator().manual_seed(0))
    assert coefficient == pytest.approx(0.7)
    loss, *_ = SignalLoss(made, reads(reading))(*batch)
    wanted = torch.autograd.grad(loss, list(made.parameters()), allow_unused=True, materialize_grads=True)
    flat = torch.cat([part.flatten() for part in wanted])
    assert flat.any()
    torch.testing.assert_close(both - plain, 0.7 * flat, atol=1e-5, rtol=1e-4)


def test_its_loss_is_told_and_weight_0_changes_nothing() -> None:
    plain, told = learnt("regret", None)
    same, also = learnt("regret", 0.0)
    assert "signal_loss" not in told
    assert also["signal_loss"] > 0
    for one, other in zip(plain.parameters(), same.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_labels_and_signals_can_both_be_beside_and_empty_ones_are_not_there() -> None:
    from policies.imitation.beside import LabelsBeside

    imitated = LabelsBeside(labels(), size=16, coefficient=0.5, device=CPU)
    _, told = learnt("advantage", 0.5, labels=imitated)
    assert told["imitation_loss"] == pytest.approx(np.log(int(ACTION_SPACE.n)), abs=0.1)
    assert told["signal_loss"] != told["imitation_loss"]
    made = network()
    update = make_update(made, settings(epochs=1))
    none = SignalsBeside(signals(0), SignalSettings(), coefficient=1.0, device=CPU)
    assert "signal_loss" not in update(made_up_rollout(), torch.Generator().manual_seed(0), signals=none)


@pytest.mark.parametrize("objective", ["ppo_clip", "ppo_kl", "a2c", "reinforce"])
@pytest.mark.parametrize("reading", READINGS)
def test_signals_join_every_objective_that_takes_gradient_steps(
    objective: Any, reading: PolicyReading
) -> None:
    torch.manual_seed(0)
    made = ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(8,))
    chosen = settings(objective=objective, epochs=30, minibatch_size=10_000, signals=reads(reading, 40))
    update = make_update(made, chosen)
    given = beside(reading, 20.0, size=40)
    for _ in range(8 if objective.startswith("ppo") else 150):
        update(made_up_rollout(), torch.Generator().manual_seed(1), signals=given)
    batch = signals(40)
    observation = torch.tensor(batch.observation_SLO[:, 1])
    said_good = np.where(batch.value_S > 0, batch.action_SLA[:, 1], 1 - batch.action_SLA[:, 1])
    assert (made.act_greedily(observation).numpy() == said_good).mean() > 0.8
