"""Imitation beside an objective: one step of both is one step down the sum of their gradients."""

from typing import Any

import numpy as np
import pytest
import torch

from policies.imitation.beside import LabelsBeside
from policies.imitation.labels import Labels
from policies.networks import ActorCritic
from tests.policies.objectives.small_policies import settings
from tests.policies.rollouts import ACTION_SPACE, OBSERVATION, OBSERVATION_SPACE, made_up_rollout
from tests.policies.updates import make_update

CPU = torch.device("cpu")


def labels(count: int = 40, heldout: int = 10) -> Labels:
    observation = np.random.default_rng(0).normal(size=(count, OBSERVATION)).astype(np.float32)
    return Labels(
        version=1,
        observation_BO=observation,
        action_BA=(observation[:, 0] > 0).astype(np.int64),
        weight_B=np.ones(count, np.float32),
        heldout_B=np.arange(count) < heldout,
    )


def network() -> ActorCritic:
    torch.manual_seed(0)
    return ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(8,))


def learnt(coefficient: float | None, **changes: Any) -> tuple[ActorCritic, dict[str, float]]:
    made = network()
    update = make_update(made, settings(**{"epochs": 1, "minibatch_size": 10_000, **changes}))
    beside = None
    if coefficient is not None:
        beside = LabelsBeside(labels(), size=16, coefficient=coefficient, device=CPU)
    return made, update(made_up_rollout(), torch.Generator().manual_seed(0), beside)


def test_held_out_labels_are_never_drawn_and_all_others_are() -> None:
    known = labels()
    beside = LabelsBeside(known, size=16, coefficient=1.0, device=CPU)
    assert len(beside) == 30
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([beside.draw(generator).observation_BO for _ in range(40)]).numpy()
    seen = {row.tobytes() for row in drawn}
    assert seen == {row.tobytes() for row in known.observation_BO[10:]}


def test_a_step_goes_down_the_sum_of_both_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient is written down instead of Adam's step; that of imitation alone is autograd's."""
    from policies.descent.gradient_step import GradientStep

    gradients = []

    def note(self: Any, flat: Any, rate: Any, *state_and_gradient: Any) -> Any:
        gradients.append(state_and_gradient[-1].clone())
        return torch.zeros(())

    monkeypatch.setattr(GradientStep, "_descend", note)
    monkeypatch.setattr(
        "policies.descent.gradient_step.trace", lambda f, staying, given: lambda *g: f(*staying, *g)
    )
    learnt(None)
    learnt(0.7)
    plain, both = gradients
    made, beside = network(), LabelsBeside(labels(), size=16, coefficient=0.7, device=CPU)
    batch = beside.draw(torch.Generator().manual_seed(0))
    log_prob = torch.log_softmax(made.policy(batch.observation_BO), -1)
    error = -sum(log_prob[b, int(a)] for b, a in enumerate(batch.action_BA)) / 16
    wanted = torch.autograd.grad(error, list(made.parameters()), allow_unused=True)
    flat = torch.cat(
        [
            torch.zeros(p.numel()) if g is None else g.flatten()
            for p, g in zip(made.parameters(), wanted, strict=True)
        ]
    )
    torch.testing.assert_close(both - plain, 0.7 * flat, atol=1e-5, rtol=1e-4)


def test_its_loss_is_told_and_weight_0_changes_nothing() -> None:
    plain, told = learnt(None)
    same, also = learnt(0.0)
    assert "imitation_loss" not in told
    assert also["imitation_loss"] == pytest.approx(np.log(int(ACTION_SPACE.n)), abs=0.1)
    for one, other in zip(plain.parameters(), same.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("objective", ["ppo_clip", "ppo_kl", "a2c", "reinforce"])
def test_imitation_joins_every_objective_that_takes_gradient_steps(objective: str) -> None:
    known, made = labels(), network()
    update = make_update(made, settings(objective=objective, epochs=60, minibatch_size=10_000))
    beside = LabelsBeside(known, size=30, coefficient=20.0, device=CPU)
    for _ in range(5 if objective.startswith("ppo") else 200):
        update(made_up_rollout(), torch.Generator().manual_seed(1), beside)
    observation = torch.from_numpy(known.observation_BO[10:])
    agreement = (made.act_greedily(observation).numpy() == known.action_BA[10:]).mean()
    assert agreement > 0.9
