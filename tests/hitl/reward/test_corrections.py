import dataclasses
from datetime import UTC, datetime
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from hitl.events import Abstention, Correction, JournalEntry, Relabel, Segment, StepAddress
from hitl.reward.evidence.corrections import CorrectionExamples, Corrections
from hitl.reward.evidence.evidence import Teachers
from hitl.reward.evidence.signals import Signals
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from hitl.reward.online import OnlineRewardModel
from hitl.reward.settings import FitSettings
from policies.splits import is_heldout
from tests.hitl.reward.test_signals import signals

SEEN = gym.spaces.Box(-1, 1, (2,))
SPACES: dict[str, gym.Space[Any]] = {
    "discrete": gym.spaces.Discrete(4),
    "few combinations": gym.spaces.MultiDiscrete([3, 2]),
    "many combinations": gym.spaces.MultiDiscrete([20, 20, 3]),
    "continuous": gym.spaces.Box(-2, 3, (2,)),
}
SETTINGS: dict[str, Any] = {"alternatives": 7, "batch": 16, "heldout_share": 0.0, "members": 3, "seed": 0}


def corrections(space: gym.Space[Any] = SPACES["discrete"], **changes: Any) -> Corrections:
    return Corrections(space, Teachers(), **{**SETTINGS, **changes})


def said(name: str, frame: int, observations: Any, actions: Any) -> tuple[JournalEntry, list[Segment]]:
    """What a correction, or a takeover of several steps, stands in the journal as."""
    observations, actions = np.asarray(observations, np.float32), np.asarray(actions)
    event = Correction(run_id="run", stage_id="stage", frame=frame, actions=actions, event_id=name)
    address = StepAddress(
        task_id="task", run_id="run", source="stage", episode=0, begin=frame, end=frame + len(actions)
    )
    segment = Segment(
        segment_id=f"stage/{name}", address=address, observations={"obs": observations}, actions=actions,
        policy_version=1,
    )  # fmt: skip
    entry = JournalEntry(
        offset=3, teacher_id="ann", record_time=datetime(2030, 1, 1, tzinfo=UTC), event=event,
        segment_ids=(segment.segment_id,),
    )  # fmt: skip
    return entry, [segment]


def model(
    kinds: list[Any], actions: gym.Space[Any], *, hidden: tuple[int, ...] = (16,), **fit: Any
) -> OnlineRewardModel:
    settings = {"learning_rate": 0.02, "weight_decay": 0.0, "gradient_steps": 300, **fit}
    made = OnlineRewardModel(
        InputSpace.of(SEEN, actions), members=3, hidden=hidden, settings=FitSettings(**settings),
        evidence=kinds, heldout_share=0.0, seed=0,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    observation = rng.uniform(-1, 1, (300, 2)).astype(np.float32)
    actions.seed(0)
    made.set_probe(observation, np.stack([actions.sample() for _ in range(300)]))
    return made


def examples_of(kind: Corrections, ensemble: RewardEnsemble) -> CorrectionExamples:
    examples = kind.examples(ensemble)
    assert examples is not None
    return examples


@pytest.mark.parametrize("name", SPACES)
def test_what_people_did_stands_before_what_else_they_could_have_done(name: str) -> None:
    space = SPACES[name]
    space.seed(3)
    kind = corrections(space)
    states = np.random.default_rng(0).uniform(-1, 1, (5, 2))
    actions = np.stack([space.sample() for _ in range(5)])
    kind.take(*said("one", 4, states, actions))
    ensemble = model([kind], space).ensemble
    inputs, chosen = examples_of(kind, ensemble).of(torch.tensor([3, 0]))
    options = {"discrete": 4, "few combinations": 6}.get(name, 8)
    assert inputs.shape[:2] == (2, options)
    assert chosen.tolist() == [0, 0]
    for row, state in ((0, 3), (1, 0)):
        seen = torch.tensor(states[state][None], dtype=torch.float32)
        (expected,) = ensemble.inputs(seen, torch.as_tensor(actions[state][None]))
        torch.testing.assert_close(inputs[row, :1], expected)
        # Each one once, and all in the same state.
        assert len(inputs[row].unique(dim=0)) == options
        assert len(inputs[row, :, :2].unique(dim=0)) == 1
    low, high = (-2.0, 3.0) if name == "continuous" else (0.0, 1.0)
    numbers = (inputs * ensemble.input_std + ensemble.input_mean)[..., 2:]
    assert (numbers >= low - 1e-5).all()
    assert (numbers <= high + 1e-5).all()
    if name == "continuous":
        assert numbers[:, 1:].min() < -1
        assert numbers[:, 1:].max() > 2


def test_alternatives_follow_from_the_name_of_the_event() -> None:
    space = SPACES["continuous"]
    actions = np.zeros((3, 2), np.float32)

    def inputs(name: str, *before: str) -> torch.Tensor:
        kind = corrections(space)
        for other in (*before, name):
            kind.take(*said(other, 4, np.zeros((3, 2)), actions))
        examples = examples_of(kind, model([kind], space).ensemble)
        return examples.of(torch.arange(3) + 3 * len(before))[0]

    torch.testing.assert_close(inputs("one"), inputs("one", "other"))
    assert not torch.allclose(inputs("one"), inputs("other"))
    assert not torch.allclose(inputs("one")[0], inputs("one")[1])


def test_many_corrections_find_room_and_none_is_changed() -> None:
    kind = corrections()
    states = np.random.default_rng(0).uniform(-1, 1, (60, 3, 2)).astype(np.float32)
    for number, state in enumerate(states):
        kind.take(*said(f"event-{number}", number, state, [number % 4] * 3))
    assert len(kind) == 180
    ensemble = model([kind], SPACES["discrete"]).ensemble
    examples = examples_of(kind, ensemble)
    inputs, _ = examples.of(torch.arange(180))
    (expected,) = ensemble.inputs(
        torch.from_numpy(states).reshape(180, 2), torch.arange(60).repeat_interleave(3) % 4
    )
    torch.testing.assert_close(inputs[:, 0], expected)
    assert examples.bootstrap_KE.shape == (3, 180)
    # What one takeover says is said together, and members differ.
    by_event = examples.bootstrap_KE.view(3, 60, 3)
    assert (by_event == by_event[..., :1]).all()
    assert (by_event[0] != by_event[1]).any()
    assert float(by_event.mean()) == pytest.approx(1.0, abs=0.3)


def test_repeats_retractions_and_corrections_without_a_state_do_not_count() -> None:
    kind = corrections()
    for number, frame in ((0, 1), (1, 5), (0, 1), (2, 9)):
        kind.take(*said(f"event-{number}", frame, np.full((2, 2), 0.1 * number), [number] * 2))
    kind.retract("run", "ann", "event-1")
    kind.retract("run", "bob", "event-2")
    kind.retract("run", "ann", "event-9")
    kind.take(*said("event-9", 30, np.zeros((2, 2)), [0, 0]))
    kind.take(said("event-8", 30, np.zeros((1, 2)), [0])[0], [])
    assert len(kind) == 4
    ensemble = model([kind], SPACES["discrete"]).ensemble
    inputs, _ = examples_of(kind, ensemble).of(torch.arange(4))
    said_action = (inputs * ensemble.input_std + ensemble.input_mean)[:, 0, 2:].argmax(-1)
    assert said_action.tolist() == [0, 0, 2, 2]


def answered(
    question: str, step: int, observations: Any, answer: Any, *, event: str = ""
) -> tuple[JournalEntry, list[Segment]]:
    """What an answer about one step of a segment, in which the policy did 0, stands in the journal as."""
    entry, (segment,) = said(question, 10, observations, np.zeros(len(observations), np.int64))
    told = Relabel(
        run_id="run", question_id=question, step=step, answer=answer, event_id=event or f"event of {question}"
    )
    return dataclasses.replace(entry, event=told), [segment]


def test_an_answer_is_a_correction_of_the_state_that_it_is_about() -> None:
    kind = corrections()
    states = np.random.default_rng(0).uniform(-1, 1, (3, 4, 2)).astype(np.float32)
    kind.take(*answered("one", 2, states[0], np.array(3)))
    kind.take(*answered("one", 2, states[0], np.array(3)))
    kind.take(*answered("skipped", 1, states[1], Abstention.SKIP))
    kind.take(*answered("unsure", 1, states[1], Abstention.CANNOT_TELL))
    kind.take(*answered("two", 0, states[1], np.array(1)))
    kind.take(*answered("back", 0, states[2], np.array(2)))
    kind.retract("run", "ann", "event of back")
    assert len(kind) == 2
    ensemble = model([kind], SPACES["discrete"]).ensemble
    inputs, chosen = examples_of(kind, ensemble).of(torch.arange(2))
    # The policy's own action is an alternative like the others.
    assert inputs.shape[:2] == (2, 4)
    assert chosen.tolist() == [0, 0]
    seen = torch.from_numpy(np.stack([states[0, 2], states[1, 0]]))
    torch.testing.assert_close((inputs[:, 0],), ensemble.inputs(seen, torch.tensor([3, 1])))


def test_what_an_answer_is_held_against_follows_from_its_question() -> None:
    space = SPACES["continuous"]

    def inputs(question: str, event: str) -> torch.Tensor:
        kind = corrections(space)
        kind.take(*answered(question, 1, np.zeros((3, 2)), np.zeros(2, np.float32), event=event))
        return examples_of(kind, model([kind], space).ensemble).of(torch.arange(1))[0]

    torch.testing.assert_close(inputs("one", "a"), inputs("one", "b"))
    assert not torch.allclose(inputs("one", "a"), inputs("two", "a"))


def test_answers_are_held_out_with_their_segment() -> None:
    kind = corrections(heldout_share=0.4)
    names = [f"q{number}" for number in range(40)]
    for name in names:
        kind.take(*answered(name, 1, np.zeros((3, 2)), np.array(1)))
    examples = examples_of(kind, model([kind], SPACES["discrete"]).ensemble)
    assert examples.heldout_E.tolist() == [is_heldout(f"stage/{name}", 0.4) for name in names]
    assert 0 < examples.heldout_E.mean() < 1
    # Answers about different segments are different witnesses, and those about one are one.
    assert len(np.unique(examples.block_E)) == 40
    again, segments = answered("q7", 0, np.zeros((3, 2)), np.array(2))
    event = dataclasses.replace(again.event, event_id="other", question_id="other")  # type: ignore[type-var]
    kind.take(dataclasses.replace(again, event=event), segments)
    blocks = examples_of(kind, model([kind], SPACES["discrete"]).ensemble).block_E
    assert np.flatnonzero(blocks == blocks[-1]).tolist() == [7, 40]


def test_nothing_said_is_no_evidence() -> None:
    kind = corrections()
    kind.retract("run", "ann", "event-1")
    assert len(kind) == 0
    assert kind.examples(model([kind], SPACES["discrete"]).ensemble) is None


def test_states_are_held_out_with_what_signals_say_of_their_frames() -> None:
    from tests.hitl.reward.test_crediting import segment
    from tests.hitl.reward.test_signals import told

    kind = corrections(heldout_share=0.5)
    kind.take(*said("takeover", 0, np.zeros((300, 2)), np.zeros(300, np.int64)))
    taken = examples_of(kind, model([kind], SPACES["discrete"]).ensemble)
    heldout = taken.heldout_E
    blocks = [set(heldout[begin : begin + 64].tolist()) for begin in range(0, 300, 64)]
    assert all(len(block) == 1 for block in blocks)
    assert len(set.union(*blocks)) == 2
    other = signals(heldout_share=0.5)
    for number, frame in enumerate((40, 100, 180)):
        other.take(told(number, frame), [segment(1, 190)])
    examples = other.examples(model([other], gym.spaces.Discrete(200)).ensemble)
    assert examples is not None
    assert examples.heldout_E.tolist() == [heldout[40], heldout[100], heldout[180]]
    assert examples.block_E.tolist() == taken.block_E[[40, 100, 180]].tolist()
    assert len(np.unique(taken.block_E)) == 5


@pytest.mark.parametrize("hidden", [(16,), ()])
def test_the_order_of_rewards_is_recovered_from_corrections(hidden: tuple[int, ...]) -> None:
    """A teacher who chooses by a reward that they do not know, with mistakes, and each state once."""
    worth, beta = np.array([0.5, -1.0, 1.5, 0.0]), 2.0
    rng = np.random.default_rng(0)
    kind = corrections()
    share = np.exp(beta * worth) / np.exp(beta * worth).sum()
    for number in range(150):
        action = rng.choice(4, p=share)
        kind.take(*said(f"event-{number}", number, rng.uniform(-1, 1, (1, 2)), [action]))
    taught = model([kind], SPACES["discrete"], hidden=hidden)
    for _ in range(3):
        taught.fit()
    states = torch.from_numpy(rng.uniform(-1, 1, (200, 1, 2)).astype(np.float32)).expand(-1, 4, -1)
    reward = taught.ensemble.reward(states, torch.arange(4).expand(200, -1)).detach().numpy()
    assert np.argsort(reward.mean(0)).tolist() == np.argsort(worth).tolist()
    report = taught.fit()
    assert report is not None
    assert report.kinds["corrections"].count == 150
    accuracy = report.kinds["corrections"].train_accuracy
    assert accuracy is not None
    assert accuracy > share.max() - 0.1


def test_what_is_right_in_a_state_is_learnt_from_a_few_numbers_of_an_action() -> None:
    """Continuous actions: the teacher wants what the observation says, which no network knows at first."""
    space = gym.spaces.Box(-1, 1, (2,))
    kind = corrections(space, alternatives=15)
    taught = model([kind], space, hidden=(32,))
    rng = np.random.default_rng(0)
    for number in range(100):
        state = rng.uniform(-1, 1, (1, 2))
        kind.take(*said(f"event-{number}", number, state, np.clip(-state, -1, 1).astype(np.float32)))
    for _ in range(4):
        taught.fit()
    state = torch.from_numpy(rng.uniform(-0.8, 0.8, (200, 2)).astype(np.float32))
    wanted, other = taught.ensemble.reward(state, -state), taught.ensemble.reward(state, state * 0.2 + 0.5)
    assert float((wanted > other).float().mean()) > 0.9


def test_corrections_and_signals_teach_one_reward() -> None:
    """Each is learnt at once, and the scale of either is its own."""
    kinds: list[Corrections | Signals] = [corrections(), signals()]
    taught = model(list(kinds), SPACES["discrete"])
    before = taught.ensemble.links["corrections"].log_scale.item()
    for number in range(20):
        taught.take(*said(f"event-{number}", number, np.zeros((1, 2)), [2]))
        report = taught.fit(quick_steps=5, newest=1)
        assert report is not None
        assert report.kinds.keys() == {"corrections"}
    state = torch.zeros(4, 2)
    assert int(taught.ensemble.reward(state, torch.arange(4)).argmax()) == 2
    # All of them agree: people are taken to be more and more rational.
    assert taught.ensemble.links["corrections"].log_scale.item() > before


def test_a_model_of_before_there_were_corrections_can_be_loaded() -> None:
    ensemble = RewardEnsemble(InputSpace.of(SEEN, SPACES["discrete"]), members=2, hidden=())
    arrays = dict(ensemble.to_arrays())
    del arrays["links.corrections.log_scale"]
    with torch.no_grad():
        ensemble.links["corrections"].log_scale.fill_(0.5)
    ensemble.load_arrays(arrays)
    assert ensemble.links["corrections"].log_scale.item() == 0.5
