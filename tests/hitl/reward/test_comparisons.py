import numpy as np
import pytest

from hitl.events import Choice
from hitl.reward.network.ensemble import RewardEnsemble
from policies.splits import is_heldout
from tests.hitl.reward.comparisons import SPACE, answer, answers, arrays_of, comparisons, entry_of, segment


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 1.0])
def test_the_share_of_held_out_segments_is_as_asked(share: float) -> None:
    count = 4000
    held_out = sum(is_heldout(f"runner-1/{i}/0-25", share) for i in range(count)) / count
    assert held_out == pytest.approx(share, abs=3 * (share * (1 - share) / count) ** 0.5 + 1e-9)


def test_a_held_out_segment_stays_held_out_and_a_larger_share_holds_out_more() -> None:
    names = [f"s{i}" for i in range(300)]
    few, more = ({n for n in names if is_heldout(n, share)} for share in (0.2, 0.4))
    assert few == {n for n in names if is_heldout(n, 0.2)}
    assert few < more


def test_a_held_out_segment_never_trains() -> None:
    some = [segment(f"s{i}") for i in range(40)]
    told = [answer(i, some[i % 40], some[(7 * i + 1) % 40]) for i in range(120) if i % 40 != (7 * i + 1) % 40]
    arrays = arrays_of(told, heldout_share=0.3)
    names = list(dict.fromkeys(s.segment_id for a in told for s in (a.first, a.second)))
    trained = ~arrays.heldout_E
    seen = {names[row] for row in arrays.segment_EC[trained].ravel()}
    assert not any(is_heldout(name, 0.3) for name in seen)
    assert all(
        is_heldout(a.first.segment_id, 0.3) or is_heldout(a.second.segment_id, 0.3)
        for a, judges in zip(told, arrays.heldout_E, strict=True)
        if judges
    )
    assert 0 < trained.sum() < len(told)


def test_shorter_segments_are_padded_with_weight_0() -> None:
    long, short = segment("long", steps=6), segment("short", steps=2)
    arrays = arrays_of([answer(0, long, short), answer(1, short, long)], heldout_share=0.0)
    assert arrays.segments.observation_SLO.shape == (2, 6, 2)
    assert arrays.segments.action_SLA.shape == (2, 6)
    assert arrays.segments.weight_SL.tolist() == [[1] * 6, [1, 1, 0, 0, 0, 0]]
    np.testing.assert_array_equal(arrays.segments.observation_SLO[0], long.observations["obs"])
    np.testing.assert_array_equal(arrays.segments.observation_SLO[1, :2], short.observations["obs"])
    np.testing.assert_array_equal(arrays.segments.action_SLA[1, :2], short.actions)
    assert arrays.segment_EC.tolist() == [[0, 1], [1, 0]]


def test_choices_are_numbered_as_the_likelihood_counts_them() -> None:
    a, b = segment("a"), segment("b")
    choices = [Choice.TIE, Choice.FIRST, Choice.SECOND]
    told = [answer(i, a, b, choice) for i, choice in enumerate(choices)]
    assert arrays_of(told, heldout_share=0.0).said_E.tolist() == [2, 0, 1]


def test_a_segment_in_many_answers_is_stored_once() -> None:
    a, b, c = (segment(name) for name in "abc")
    arrays = arrays_of([answer(0, a, b), answer(1, b, c), answer(2, a, c)], heldout_share=0.0)
    assert len(arrays.segments.observation_SLO) == 3
    assert len(arrays_of(answers(4), heldout_share=0.0).segments.observation_SLO) == 8


def test_what_came_and_went_since_the_last_look_is_seen() -> None:
    kind = comparisons()
    ensemble = RewardEnsemble(SPACE, members=2, hidden=())
    told = answers(3)
    counts = []
    for change in (
        lambda: [kind.take(*entry_of(one)) for one in told[:2]],
        lambda: kind.take(*entry_of(told[2])),
        lambda: kind.retract("run", "teacher", told[0].event_id),
    ):
        change()
        examples = kind.examples(ensemble)
        assert examples is not None
        assert examples.bootstrap_KE.shape == (2, len(kind))
        counts.append(len(examples.heldout_E))
    assert counts == [2, 3, 2]
