"""Updates of a recurrent policy."""

import copy
from typing import Any

import pytest
import torch

from policies.networks import ActorCritic
from tests.policies.objectives.small_policies import settings
from tests.policies.recurrent.recall import UNITS, remembering_rollout
from tests.policies.rollouts import ACTION_SPACE, OBSERVATION_SPACE
from tests.policies.updates import make_update, steps_taken

LEARNERS: dict[str, dict[str, Any]] = {
    "ppo_clip": {"value_clip": 0.2},
    "ppo_kl": {},
    "a2c": {"advantages": "vtrace"},
    "q_actor_critic": {"advantages": "n_step"},
    "reinforce": {},
}


def _network() -> ActorCritic:
    torch.manual_seed(0)
    return ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(4,), recurrent=UNITS)


@pytest.mark.parametrize(("objective", "changes"), LEARNERS.items(), ids=LEARNERS)
def test_every_objective_but_trpo_teaches_it_to_remember(objective: Any, changes: dict[str, Any]) -> None:
    network = _network()
    before = copy.deepcopy(network.state_dict())
    numbers = settings(
        objective=objective, sequence_steps=4, minibatch_size=8, value_coefficient=0.0, **changes
    )
    statistics = make_update(network, numbers)(remembering_rollout(), torch.Generator().manual_seed(0))
    assert all(torch.tensor(value).isfinite() for value in statistics.values())
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert {"memory.cell.weight_ih", "memory.cell.weight_hh", "policy.2.weight"} <= moved


def test_minibatches_are_of_whole_sequences() -> None:
    """8 steps of 4 columns are 8 sequences of 4, of which 2 are 8 steps."""
    update = make_update(_network(), settings(sequence_steps=4, minibatch_size=8, epochs=3))
    update(remembering_rollout(), torch.Generator().manual_seed(0))
    assert steps_taken(update) == 3 * 4


def test_a_minibatch_has_at_least_one_sequence() -> None:
    update = make_update(_network(), settings(minibatch_size=5, epochs=3))
    update(remembering_rollout(), torch.Generator().manual_seed(0))
    assert steps_taken(update) == 3 * 4
