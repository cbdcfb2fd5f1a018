import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from hitl.credit import TAMER
from hitl.events import Signal
from hitl.reward.evidence.crediting import Crediting
from hitl.reward.evidence.evidence import Teachers
from hitl.reward.evidence.rows import block_of
from hitl.reward.evidence.signals import Signals
from hitl.reward.network.inputs import InputSpace
from hitl.reward.online import OnlineRewardModel
from hitl.reward.settings import FitSettings
from tests.hitl.reward.test_crediting import entry, segment

SPACE = InputSpace(observation_size=1, action_size=200, discrete=True)
SETTINGS: dict[str, Any] = {
    "most_steps": 16,
    "batch": 32,
    "heldout_share": 0.0,
    "members": 3,
    "seed": 0,
}


def signals(**changes: Any) -> Signals:
    crediting = Crediting(TAMER, across_episodes=False, smallest_share=0.5)
    return Signals(crediting, Teachers(), **{**SETTINGS, **changes})


def told(number: int, frame: int, value: float = 1.0) -> Any:
    one = entry(frame, 0.0, value)
    assert one.event is not None
    return dataclasses.replace(one, event=dataclasses.replace(one.event, event_id=f"event-{number}"))  # type: ignore[type-var]


def model(kind: Signals, **fit: Any) -> OnlineRewardModel:
    settings = {"learning_rate": 0.02, "weight_decay": 0.0, "gradient_steps": 60, **fit}
    made = OnlineRewardModel(
        SPACE, members=3, hidden=(16,), settings=FitSettings(**settings), evidence=[kind],
        heldout_share=0.0, seed=0,
    )  # fmt: skip
    frames = np.arange(1, 199)
    made.set_probe(frames[:, None].astype(np.float32), frames)
    return made


def test_a_signal_is_about_its_steps_with_their_credit() -> None:
    kind, steps = signals(), [segment(1, 40)]
    kind.take(told(0, 20), steps)
    kind.take(told(1, 30, -0.5), steps)
    examples = kind.examples(model(kind).ensemble)
    assert examples is not None
    _, credit, value = examples.of(torch.tensor([1, 0]))
    assert value.tolist() == [-0.5, 1.0]
    assert credit[1, :6].tolist() == pytest.approx([1 / 6] * 6)
    assert not credit[1, 6:].any()
    (expected,) = model(kind).ensemble.inputs(torch.arange(12, 18)[:, None].float(), torch.arange(12, 18))
    torch.testing.assert_close(examples.of(torch.tensor([0]))[0][0, :6], expected)


def test_many_signals_find_room_and_none_is_changed() -> None:
    kind, grown = signals(), [segment(1, 180)]
    for number in range(150):
        # Longer and longer ago, so that rows must become longer, too.
        kind.take(told(number, 20 + number), grown)
    assert len(kind) == 150
    examples = kind.examples(model(kind).ensemble)
    assert examples is not None
    _, credit, value = examples.of(torch.arange(150))
    torch.testing.assert_close(credit.sum(1), torch.ones(150))
    assert value.tolist() == [1.0] * 150
    assert examples.bootstrap_KE.shape == (3, 150)
    assert float(examples.bootstrap_KE.mean()) == pytest.approx(1.0, abs=0.2)


def test_repeats_retractions_and_signals_without_a_place_do_not_count() -> None:
    kind, steps = signals(), [segment(1, 40)]
    for number, frame in ((0, 20), (1, 25), (0, 20), (2, 1), (3, 30)):
        kind.take(told(number, frame), steps)
    kind.retract("run", "ann", "event-1")
    kind.retract("run", "bob", "event-3")
    kind.retract("run", "ann", "event-9")
    kind.take(told(9, 30), steps)
    assert len(kind) == 2
    assert kind.unplaced == 1
    examples = kind.examples(model(kind).ensemble)
    assert examples is not None
    assert examples.of(torch.arange(2))[2].tolist() == [1.0, 1.0]


def test_signals_near_each_other_are_held_out_together() -> None:
    kind, steps = signals(heldout_share=0.5), [segment(1, 190)]
    frames = range(20, 190)
    for number, frame in enumerate(frames):
        kind.take(told(number, frame), steps)
    examples = kind.examples(model(kind).ensemble)
    assert examples is not None
    by_block: dict[int, set[bool]] = {}
    for frame, heldout in zip(frames, examples.heldout_E.tolist(), strict=True):
        by_block.setdefault(frame // 64, set()).add(heldout)
    assert sorted(map(list, by_block.values())) == [[False], [True], [True]]


def test_signals_on_64_frames_of_a_stage_are_one_witness() -> None:
    kind, steps = signals(), [segment(1, 190)]
    frames = [20, 130, 63, 64, 127, 128]
    for number, frame in enumerate(frames):
        kind.take(told(number, frame), steps)
    kind.retract("run", "ann", "event-0")
    examples = kind.examples(model(kind).ensemble)
    assert examples is not None
    _, block = np.unique(examples.block_E, return_inverse=True)
    alike = [(a // 64 == b // 64) for a in frames[1:] for b in frames[1:]]
    assert [one == other for one in block for other in block] == alike
    # Those of another stage, or of another run, are others, whatever kind says something there.
    about = told(9, 20).event
    assert isinstance(about, Signal)
    named = {
        block_of(dataclasses.replace(about, **{name: "another"}), 20)  # type: ignore[arg-type]
        for name in ("stage_id", "run_id", "event_id")
    }
    assert len(named | {block_of(about, 20)}) == 3


def test_signals_teach_which_steps_are_good() -> None:
    """Steps of the first half are bad, those of the second good; few are told, and noise is in what is told."""
    rng = np.random.default_rng(0)
    kind, steps = signals(), [segment(1, 190)]
    taught = model(kind)
    for number in range(60):
        frame = int(rng.integers(15, 190))
        value = 1.0 if frame - 5 > 95 else -1.0
        taught.take(told(number, frame, value if rng.random() > 0.1 else -value), steps)
        taught.fit(quick_steps=10, newest=1)
    frames = np.arange(1, 190)
    reward = taught.ensemble.reward(torch.from_numpy(frames[:, None]).float(), torch.from_numpy(frames))
    good = reward.detach().numpy()
    assert good[frames > 110].mean() > good[frames < 80].mean() + 0.8
    report = taught.fit(quick_steps=1)
    assert report is not None
    assert report.kinds["signals"].count == 60
