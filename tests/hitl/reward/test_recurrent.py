"""A reward that depends on what was done before."""

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from torch import Tensor, nn

from cluster.feedback.probe import draw_probe
from cluster.feedback.questions.fresh import FreshRollouts
from hitl.events import Choice, Segment
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from hitl.reward.network.recurrent import Memories
from hitl.reward.online import OnlineRewardModel
from hitl.reward.questions.looking import predicted_returns
from hitl.reward.serving.source import LearnedReward
from hitl.reward.settings import FitSettings, InputSettings, Memory
from policies.steps import steps_on
from tests.hitl.reward.comparisons import answer, arrays_of, comparisons, entry_of, segment
from tests.policies.rollouts import ACTION_SPACE, COLUMNS, OBSERVATION_SPACE, STEPS, made_up_rollout

SEEN, ACTIONS = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(3)
GRU = InputSettings(memory="gru", memory_units=7)
MEMBERS = 3


def _memories(inputs: int = 4, units: int = 5) -> Memories:
    torch.manual_seed(1)
    memories = Memories(inputs=inputs, units=units, members=MEMBERS).double()
    for parameter in memories.parameters():
        parameter.data.normal_(0, 0.5)
    return memories


def _of_torch(memories: Memories, member: int, input_SLF: Tensor) -> Tensor:
    """The same by `torch.nn.GRU`, one member at a time."""
    inputs, gates = memories.of_inputs[member].shape
    gru = nn.GRU(inputs, gates // 3, batch_first=True).double()
    gru.weight_ih_l0.data, gru.weight_hh_l0.data = memories.of_inputs[member].T, memories.of_memory[member].T
    gru.bias_ih_l0.data, gru.bias_hh_l0.data = (
        memories.inputs_bias[member, 0],
        memories.memory_bias[member, 0],
    )
    remembered: Tensor = gru(input_SLF)[0]
    return remembered


def test_members_remember_as_torchs_gated_recurrent_unit_does() -> None:
    memories, input_SLF = _memories(), torch.randn(6, 9, 4, dtype=torch.float64)
    remembered = memories(input_SLF)
    assert remembered.shape == (MEMBERS, 6, 9, 5)
    for member in range(MEMBERS):
        torch.testing.assert_close(remembered[member], _of_torch(memories, member, input_SLF))


def test_nothing_is_remembered_from_before_a_beginning() -> None:
    memories, input_SLF = _memories(), torch.randn(2, 9, 4, dtype=torch.float64)
    begins = torch.zeros(2, 9, dtype=torch.bool)
    begins[0, 3] = begins[0, 4] = begins[1, 8] = True
    remembered = memories(input_SLF, begins)
    for sequence, (begin, end) in ((0, (0, 3)), (0, (3, 4)), (0, (4, 9)), (1, (0, 8)), (1, (8, 9))):
        part = memories(input_SLF[sequence : sequence + 1, begin:end])
        torch.testing.assert_close(remembered[:, sequence, begin:end], part[:, 0])


def _ensemble(observation: Any = SEEN, actions: Any = ACTIONS, **changes: Any) -> RewardEnsemble:
    torch.manual_seed(2)
    space = InputSpace.of(observation, actions, dataclasses.replace(GRU, **changes))
    ensemble = RewardEnsemble(space, members=MEMBERS, hidden=(6,))
    ensemble.weights[-1].data.mul_(10)
    return ensemble


def test_an_output_is_a_network_of_step_and_memory() -> None:
    ensemble, (sequences, steps) = _ensemble().double(), (4, 5)
    seen, action = torch.randn(sequences, steps, 2, dtype=torch.float64), torch.randint(3, (sequences, steps))
    raw = ensemble.raw(seen, action)
    assert raw.shape == (MEMBERS, sequences, steps)
    for member in range(MEMBERS):
        step = torch.cat([seen, nn.functional.one_hot(action, 3).double()], -1)
        assert ensemble.memories is not None
        both = torch.cat([step, _of_torch(ensemble.memories, member, step)], -1)
        hidden = torch.tanh(both @ ensemble.weights[0][member] + ensemble.biases[0][member])
        expected = (hidden @ ensemble.weights[1][member] + ensemble.biases[1][member])[..., 0]
        torch.testing.assert_close(raw[member], expected)


@pytest.mark.parametrize("reads", ["state", "state_action", "state_action_next"])
def test_a_rollout_is_labelled_episode_by_episode(reads: Any) -> None:
    ensemble = _ensemble(OBSERVATION_SPACE, ACTION_SPACE, reads=reads)
    rollout = made_up_rollout()
    steps = steps_on(torch.device("cpu"), rollout)
    reward_TN = LearnedReward(ensemble)(steps)
    assert reward_TN.shape == (STEPS, COLUMNS)
    seen_TNO = steps.observation_TNO
    if reads == "state_action_next":
        seen_TNO = torch.cat([seen_TNO, steps.next_observation_TNO], -1)
    for column in range(COLUMNS):
        for episode in np.unique(rollout.episode_TN[:, column]):
            rows = np.flatnonzero(rollout.episode_TN[:, column] == episode)
            alone = ensemble.reward(seen_TNO[rows, column][None], steps.action_TNA[rows, column][None])
            torch.testing.assert_close(reward_TN[rows, column], alone[0])


def test_who_overrides_the_policy_begins_no_episode() -> None:
    """`cut_TN` also says where somebody else acts; the world goes on."""
    ensemble = _ensemble(OBSERVATION_SPACE, ACTION_SPACE)
    steps = steps_on(torch.device("cpu"), made_up_rollout())
    everywhere = dataclasses.replace(steps, cut_TN=torch.ones_like(steps.cut_TN))
    assert torch.equal(LearnedReward(ensemble)(steps), LearnedReward(ensemble)(everywhere))


def test_its_state_is_arrays_like_any_others() -> None:
    ensemble = _ensemble()
    other = RewardEnsemble.of_arrays(ensemble.space, ensemble.to_arrays())
    seen, action = torch.randn(2, 4, 2), torch.randint(3, (2, 4))
    assert torch.equal(other.raw(seen, action), ensemble.raw(seen, action))


def test_what_shorter_segments_are_padded_with_counts_nothing() -> None:
    ensemble = _ensemble()
    short, long = segment("short", steps=3), segment("long", steps=6)
    alone = [arrays_of([answer(0, one, one, Choice.TIE)], heldout_share=0.0) for one in (short, long)]
    both = arrays_of([answer(0, short, long, Choice.TIE)], heldout_share=0.0)

    def returns(arrays: Any) -> Tensor:
        raw = ensemble.raw(
            torch.from_numpy(arrays.segments.observation_SLO), torch.from_numpy(arrays.segments.action_SLA)
        )
        return (raw * torch.from_numpy(arrays.segments.weight_SL)).sum(-1)

    torch.testing.assert_close(returns(both), torch.cat([returns(one) for one in alone], 1))


def test_its_probe_set_is_made_of_segments() -> None:
    fresh, rollout = FreshRollouts(clips=False, batches=2), made_up_rollout()
    fresh._batches.append([("rollout", rollout)])
    space = InputSpace.of(OBSERVATION_SPACE, ACTION_SPACE, GRU)
    observation_SLO, action_SL = draw_probe(fresh, space, segment_steps=2, rng=np.random.default_rng(0))
    assert observation_SLO.shape == (len(action_SL), 2, 3)
    assert action_SL.shape == (len(action_SL), 2)
    ensemble = RewardEnsemble(space, members=2, hidden=())
    ensemble.standardise_inputs(torch.from_numpy(observation_SLO), torch.from_numpy(action_SL))
    ensemble.set_gauge(torch.from_numpy(observation_SLO), torch.from_numpy(action_SL))
    reward = ensemble.member_rewards(torch.from_numpy(observation_SLO), torch.from_numpy(action_SL))
    torch.testing.assert_close(reward.flatten(1).mean(1), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(reward.flatten(1).std(1), torch.ones(2), atol=1e-4, rtol=0)


def _repeats(one: Segment) -> float:
    """People count how often an action is done again at once: of no step alone can it be said."""
    actions = np.asarray(one.actions)
    return float((actions[1:] == actions[:-1]).sum())


def _taught(memory: Memory) -> float:
    """Kendall's tau between true and learnt worth of segments that were never compared."""
    model = OnlineRewardModel(
        InputSpace.of(SEEN, ACTIONS, InputSettings(memory=memory, memory_units=12)),
        members=2,
        hidden=(16,),
        settings=FitSettings(learning_rate=0.02, weight_decay=1e-3, gradient_steps=300),
        evidence=[comparisons()],
        heldout_share=0.0,
        seed=1,
    )
    rng = np.random.default_rng(0)
    model.set_probe(rng.standard_normal((60, 5, 2), np.float32), rng.integers(0, 3, (60, 5)))
    for number in range(400):
        first, second = segment(f"{number}/a"), segment(f"{number}/b")
        difference = _repeats(first) - _repeats(second)
        choice = Choice.TIE if not difference else Choice.FIRST if difference > 0 else Choice.SECOND
        model.take(*entry_of(answer(number, first, second, choice)))
    assert model.fit(is_first=True) is not None
    unseen = [segment(f"unseen-{number}") for number in range(150)]
    found = predicted_returns(model.ensemble, unseen).mean(0).detach()
    return float(kendalltau(found.numpy(), [_repeats(one) for one in unseen]).statistic)


def test_a_reward_that_depends_on_the_past_is_learnt_by_who_remembers_it() -> None:
    assert _taught("gru") > 0.6
    assert _taught("none") < 0.3


def test_a_memory_reads_numbers_alone() -> None:
    image = gym.spaces.Box(0, 255, (8, 8, 1), np.uint8)
    with pytest.raises(TypeError, match=r"set reward\.model\.encoder to flat"):
        InputSpace.of(image, ACTIONS, GRU)
    assert InputSpace.of(image, ACTIONS, dataclasses.replace(GRU, encoder="flat")).memory_units == 7
