"""The reliability of predictions, against its definition in loops."""

import math

import numpy as np
import pytest
import torch

from cluster.runs.pictures import wilson_interval
from hitl.events import Choice
from hitl.reward.checks.calibration import Bin, Reliability, of_comparisons, reliability
from hitl.reward.evidence.comparisons import ComparisonLikelihood
from hitl.reward.evidence.judgements import JudgementExamples
from hitl.reward.fitting import Part
from hitl.reward.network.ensemble import RewardEnsemble
from tests.hitl.reward.comparisons import SPACE, answer, answers, arrays_of, segment


@pytest.mark.parametrize(("count", "bins"), [(1, 1), (19, 1), (20, 2), (57, 5), (104, 10), (333, 10)])
def test_bins_have_equal_mass_and_the_error_is_their_mean_gap(count: int, bins: int) -> None:
    rng = np.random.default_rng(count)
    confidence, right = rng.uniform(0.5, 1, count), rng.uniform(size=count) < 0.7
    found = reliability(confidence, right)
    assert found is not None
    assert len(found.bins) == bins
    ranked = sorted(zip(confidence.tolist(), right.tolist(), strict=True))
    sizes = [count // bins + (number < count % bins) for number in range(bins)]
    begin, error = 0, 0.0
    for size, one in zip(sizes, found.bins, strict=True):
        inside = ranked[begin : begin + size]
        assert one.count == size
        assert one.confidence == pytest.approx(sum(c for c, _ in inside) / size)
        assert one.right == pytest.approx(sum(r for _, r in inside) / size)
        error += size / count * abs(sum(r for _, r in inside) / size - sum(c for c, _ in inside) / size)
        begin += size
    assert found.error == pytest.approx(error)


def test_without_predictions_there_is_no_reliability() -> None:
    assert reliability(np.zeros(0), np.zeros(0, bool)) is None
    assert Reliability((Bin(0.75, 0.5, 10), Bin(0.9, 1.0, 30))).error == pytest.approx(0.1375)


def test_who_says_what_is_so_has_a_small_error_and_who_is_too_sure_a_great_one() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 20_000)
    right = rng.uniform(size=20_000) < confidence
    honest, boasting = reliability(confidence, right), reliability((confidence + 1) / 2, right)
    assert honest is not None
    assert boasting is not None
    assert honest.error < 0.02
    assert boasting.error == pytest.approx(0.125, abs=0.02)


@pytest.mark.parametrize(("lapse", "scale"), [(0.0, 20), (0.2, 20), (0.0, 2)])
def test_how_sure_it_is_of_a_comparison_is_the_members_mean_without_ties(lapse: float, scale: float) -> None:
    torch.manual_seed(0)
    ensemble = RewardEnsemble(SPACE, members=3, hidden=(8,)).double()
    ensemble.weights[-1].data.mul_(scale)
    ensemble.log_tie.data.fill_(0.4)
    told = [*answers(8), answer(20, segment("tie/a"), segment("tie/b"), Choice.TIE)]
    arrays = arrays_of(told, heldout_share=0.0)
    arrays.heldout_E[2:] = True
    arrays.segments.observation_SLO = arrays.segments.observation_SLO.astype(np.float64)
    examples = JudgementExamples(arrays, ensemble, torch.ones(3, len(told), dtype=torch.float64))
    part = Part(likelihood=ComparisonLikelihood(lapse), examples=examples, batch=4)
    found = of_comparisons(ensemble, part)
    ensemble.requires_grad_(False)
    confidences, rights = [], []
    for one in told[2:8]:
        chances = np.zeros(3)
        for member in range(3):
            first, second = (
                float(
                    ensemble.raw(
                        torch.from_numpy(np.asarray(s.observations["obs"], np.float64)),
                        torch.from_numpy(np.asarray(s.actions)),
                    )[member].sum()
                )
                for s in (one.first, one.second)
            )
            shares = np.array([math.exp((first - second) / 2), math.exp((second - first) / 2), math.exp(0.4)])
            chances += ((1 - lapse) * shares / shares.sum() + lapse / 3) / 3
        sure = chances[0] / (chances[0] + chances[1])
        confidences.append(max(sure, 1 - sure))
        rights.append((sure > 0.5) == (one.choice == Choice.FIRST))
    assert found is not None
    assert len(set(rights)) == 2
    assert found.bins == (Bin(pytest.approx(np.mean(confidences)), pytest.approx(np.mean(rights)), 6),)


def test_without_answers_held_out_nothing_is_said() -> None:
    ensemble = RewardEnsemble(SPACE, members=2, hidden=())
    examples = JudgementExamples(arrays_of(answers(3), heldout_share=0.0), ensemble, torch.ones(2, 3))
    assert (
        of_comparisons(ensemble, Part(likelihood=ComparisonLikelihood(0.1), examples=examples, batch=4))
        is None
    )


@pytest.mark.parametrize(("share", "count"), [(0.0, 10), (0.3, 10), (1.0, 40)])
def test_an_interval_holds_the_shares_from_which_the_seen_one_is_no_surprise(
    share: float, count: int
) -> None:
    for bound in wilson_interval(share, count):
        if 0 < bound < 1:
            deviation = math.sqrt(bound * (1 - bound) / count)
            assert abs(share - bound) == pytest.approx(1.959964 * deviation)
