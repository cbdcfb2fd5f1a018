"""What the model says of segments that could be asked about."""

import numpy as np
import pytest
import torch

from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.questions.answering_times import AnsweringTimes
from hitl.reward.questions.choosing import choose_pairs
from hitl.reward.questions.looking import features_of, predicted_returns
from hitl.reward.questions.prospects import prospects_of
from hitl.reward.questions.settings import ChoiceSettings
from policies.splits import is_heldout
from tests.hitl.reward.comparisons import SPACE, segment
from tests.hitl.reward.dots import draw, model
from tests.hitl.reward.test_image_evidence import _segment

SEGMENTS = [segment(f"s{i}", steps=(5, 8, 5, 3)[i % 4]) for i in range(21)]


def _ensemble() -> RewardEnsemble:
    torch.manual_seed(0)
    ensemble = RewardEnsemble(SPACE, members=3, hidden=(8,))
    rng = np.random.default_rng(0)
    observation, action = torch.from_numpy(3 * rng.random((50, 2), np.float32) + 1), torch.arange(50) % 3
    ensemble.standardise_inputs(observation, action)
    return ensemble


def test_returns_are_sums_of_rewards_whatever_the_lengths() -> None:
    ensemble = _ensemble()
    return_KS = predicted_returns(ensemble, SEGMENTS)
    with torch.no_grad():
        for place, one in enumerate(SEGMENTS):
            steps = torch.from_numpy(one.observations["obs"]), torch.from_numpy(one.actions)
            torch.testing.assert_close(return_KS[:, place], ensemble.raw(*steps).sum(1))


def test_segments_lie_where_what_the_model_reads_does() -> None:
    ensemble = _ensemble()
    feature_SF = features_of(ensemble, SEGMENTS)
    mean, std = ensemble.input_mean.numpy(), ensemble.input_std.numpy()
    for place, one in enumerate(SEGMENTS):
        read = np.concatenate([one.observations["obs"], np.eye(3)[one.actions]], 1)
        assert feature_SF[place] == pytest.approx(((read - mean) / std).mean(0), abs=1e-5)


def test_pictures_lie_where_convolutions_see_them() -> None:
    learnt = model([])
    shown = [_segment(f"{n}", *draw(4, n)) for n in range(20)]
    feature_SF = features_of(learnt.ensemble, shown)
    convolutions = learnt.ensemble.convolutions
    assert convolutions is not None
    with torch.no_grad():
        for place in (0, 17, 19):
            pixels = torch.from_numpy(np.asarray(shown[place].observations["obs"]))
            seen = convolutions(pixels)[0].mean(0)
            assert feature_SF[place, -len(seen) :] == pytest.approx(seen.numpy(), abs=1e-5)
    chosen = choose_pairs(
        prospects_of(learnt.ensemble, shown, lapse=0.05, heldout_share=0.0),
        count=2,
        settings=ChoiceSettings(shares={"diverse": 1.0}, candidates=30, least_distance=0.05),
        seconds=lambda steps: 1.0,
        rng=np.random.default_rng(0),
    )
    assert len(chosen.pairs) == 2


def test_prospects_are_what_the_segments_are() -> None:
    ensemble = _ensemble()
    with torch.no_grad():
        ensemble.log_tie.fill_(0.7)
    seen = prospects_of(ensemble, SEGMENTS, lapse=0.2, heldout_share=0.3)
    assert seen.heldout_S.tolist() == [is_heldout(one.segment_id, 0.3) for one in SEGMENTS]
    assert 0 < seen.heldout_S.sum() < 21
    assert seen.steps_S.tolist() == [len(one) for one in SEGMENTS]
    assert float(seen.log_tie) == pytest.approx(0.7)
    assert seen.lapse == 0.2
    assert seen.look(np.array([4, 2])) == pytest.approx(features_of(ensemble, [SEGMENTS[4], SEGMENTS[2]]))
    kinds = {(int(s), bool(h)): k for s, h, k in zip(seen.steps_S, seen.heldout_S, seen.kind_S, strict=True)}
    assert len(set(kinds.values())) == len(kinds) == len(set(seen.kind_S.tolist()))


def test_answering_times_go_from_a_guess_to_the_median() -> None:
    times = AnsweringTimes()
    assert times.expected(25) == pytest.approx(4.5)
    assert times.expected(50) > times.expected(25)
    for seconds in (8.0, 9.0, 10.0, 700.0, 0.0):
        times.take(steps=25, seconds=seconds)
    assert times.expected(25) == pytest.approx((5 * 4.5 + 4 * 9.5) / 9)
    assert times.expected(50) == pytest.approx(7.0)
    for _ in range(2000):
        times.take(steps=25, seconds=1.0)
    assert times.expected(25) == pytest.approx(1.0, abs=0.02)
