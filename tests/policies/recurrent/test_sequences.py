"""The batched way of a recurrent policy against plain loops over environments and steps."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from policies.advantages import Rows, gae
from policies.batch import make_batch
from policies.experience import join
from policies.networks import ActorCritic
from policies.sequences import in_sequences, look
from policies.steps import steps_on
from tests.policies.objectives.small_policies import settings
from tests.policies.recurrent.recall import UNITS, Recalled, assert_close, recurrent, remembering_rollout
from tests.policies.rollouts import (
    ACTION_SPACE,
    COLUMNS,
    OBSERVATION_SPACE,
    STEPS,
    TERMINATED,
    TRUNCATED,
)

CPU = torch.device("cpu")
MODELS: dict[str, dict[str, Any]] = {
    "apart": {},
    "shared": {"shared": True},
    "encoded": {"encoder": "mlp", "vector_features": 6},
}


def _steps(rollout: Any) -> Any:
    steps = steps_on(CPU, rollout)
    return dataclasses.replace(
        steps,
        shown_TNO=steps.shown_TNO.double(),
        final_observation_KO=steps.final_observation_KO.double(),
    )


def _rollout() -> Any:
    return remembering_rollout(memory_NH=remembering_rollout().memory_NH.astype(np.float64))


def test_its_weights_begin_orthogonal_and_its_biases_at_zero() -> None:
    """Detail 1 of those for memories."""
    memory = ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, recurrent=UNITS).memory
    assert memory is not None
    identity = torch.eye(UNITS)
    for gate in memory.cell.weight_hh.chunk(3):
        torch.testing.assert_close(gate @ gate.T, identity, rtol=0, atol=1e-5)
    for gate in memory.cell.weight_ih.chunk(3):
        short = gate.T @ gate if len(gate) > gate.shape[1] else gate @ gate.T
        torch.testing.assert_close(short, torch.eye(len(short)), rtol=0, atol=1e-5)
    assert not memory.cell.bias_hh.any()
    assert not memory.cell.bias_ih.any()


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_values_and_log_probabilities_are_those_of_single_steps(model: dict[str, Any]) -> None:
    network, rollout = recurrent(**model), _rollout()
    steps, recalled = _steps(rollout), Recalled(network, rollout)
    seen = look(network, rollout, steps)
    assert seen is not None
    assert_close(network.policy(seen.now_TNH), recalled.grid("output"))
    assert_close(network.value(seen.now_TNH), recalled.grid("value"))
    assert_close(network.value(seen.next_TNH), recalled.grid("next_value"))
    log_prob, _ = network.evaluate(seen.now_TNH, steps.action_TNA)
    by_hand = torch.log_softmax(recalled.grid("output"), -1)
    for t, n in np.ndindex(STEPS, COLUMNS):
        assert_close(log_prob[t, n], by_hand[t, n, int(rollout.action_TNA[t, n])])


def test_what_is_remembered_counts_and_ends_with_the_episode() -> None:
    """A change of what came before moves what follows up to the episode's end, and nothing behind it."""
    network = recurrent()
    rollout, other = _rollout(), _rollout()
    other.memory_NH[:] += 0.5
    now = look(network, rollout, _steps(rollout)).now_TNH
    changed = look(network, other, _steps(other)).now_TNH
    moved = (now - changed).abs().amax(-1) > 1e-9
    for n in range(COLUMNS):
        first_end = min(t for t, column in TERMINATED | TRUNCATED if column == n)
        assert moved[: first_end + 1, n].all()
        assert not moved[first_end + 1 :, n].any()


@pytest.mark.parametrize("length", [1, 2, 4, 8])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_sequences_go_on_where_the_one_before_ended(length: int, model: dict[str, Any]) -> None:
    network, rollout = recurrent(**model), _rollout()
    recalled = Recalled(network, rollout)
    numbers = settings(sequence_steps=length, value_clip=0.2, popart_rate=1e-12)
    batch = make_batch(network, rollout, _steps(rollout), torch.zeros(STEPS, COLUMNS).double(), numbers)
    assert batch.memory_BH is not None
    assert batch.memory_BH.shape == (STEPS // length * COLUMNS, UNITS)
    heads = network(batch.observation_BO, batch.context)
    assert_close(batch.output_of(network), heads.output)
    assert heads.output.shape == (STEPS // length * COLUMNS, length, 2)
    for s, (chunk, n) in enumerate(np.ndindex(STEPS // length, COLUMNS)):
        for row in range(length):
            t = chunk * length + row
            assert_close(heads.output[s, row], recalled.output[t, n])
            assert_close(network.normalise(recalled.value[t, n]), heads.value[s, row])
            assert batch.action_BA[s, row] == rollout.action_TNA[t, n]
            assert batch.behaviour_log_prob_B[s, row] == rollout.log_prob_TN[t, n]


def test_advantages_are_those_of_the_values_by_hand() -> None:
    network = recurrent()
    rollout = dataclasses.replace(_rollout(), duration_TN=np.ones((STEPS, COLUMNS), np.int64))
    recalled, steps = Recalled(network, rollout), _steps(rollout)
    reward = torch.from_numpy(rollout.environment_reward_TN).double()
    by_hand = gae(
        Rows(
            reward_TN=reward,
            value_TN=recalled.grid("value"),
            next_value_TN=recalled.grid("next_value"),
            terminated_TN=torch.tensor(rollout.terminated_TN),
            cut_TN=steps.cut_TN,
            discount_TN=torch.full((STEPS, COLUMNS), 0.9, dtype=torch.float64),
        ),
        gae_lambda=0.9,
    )
    numbers = settings(sequence_steps=4, normalise_advantages=False)
    batch = make_batch(network, rollout, steps, reward, numbers)
    assert_close(batch.advantage_B, in_sequences(by_hand.advantage_TN, 4))


@pytest.mark.parametrize("length", [2, 8])
def test_gradients_flow_through_a_sequence_and_no_further(length: int) -> None:
    network, rollout = recurrent(), _rollout()
    numbers = settings(sequence_steps=length)
    batch = make_batch(network, rollout, _steps(rollout), torch.zeros(STEPS, COLUMNS).double(), numbers)
    observation = batch.observation_BO.clone().requires_grad_()
    output = network(observation, batch.context).output
    last = STEPS // length * COLUMNS - COLUMNS  # Column 0, whose last episode begins in row 6.
    (gradient,) = torch.autograd.grad(output[last, -1].sum(), [observation])
    reached = gradient.abs().sum(-1) > 0
    expected = torch.zeros_like(reached)
    expected[last, -2:] = True
    assert torch.equal(reached, expected)


def test_joined_rollouts_keep_what_each_column_remembers() -> None:
    one, two = _rollout(), remembering_rollout(memory_NH=np.full((COLUMNS, UNITS), 0.25))
    both = join([one, two])
    assert both.memory_NH is not None
    np.testing.assert_array_equal(both.memory_NH, np.concatenate([one.memory_NH, two.memory_NH]))


def test_without_a_memory_nothing_is_cut_into_sequences() -> None:
    network = ActorCritic(*_spaces(), hidden=(4,))
    rollout = _rollout()
    batch = make_batch(network, rollout, steps_on(CPU, rollout), torch.zeros(STEPS, COLUMNS), settings())
    assert batch.context is None
    assert batch.weight_B.shape == (STEPS * COLUMNS,)


def _spaces() -> Any:
    from tests.policies.rollouts import ACTION_SPACE, OBSERVATION_SPACE

    return OBSERVATION_SPACE, ACTION_SPACE
