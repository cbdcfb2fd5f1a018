import math

import numpy as np
import pytest
import torch
from torch import Tensor

from hitl.events import Choice
from hitl.reward.answers import Answer, arrays_of
from hitl.reward.ensemble import RewardEnsemble
from hitl.reward.fitting import (
    AnswerTensors,
    Fit,
    FitSettings,
    Judgement,
    _draw,
    bootstrap_weights,
    is_worse,
    judge,
    margins,
)
from hitl.reward.likelihoods import comparison_log_likelihood
from tests.hitl.comparisons import SPACE, answer, answers, segment, worth

SETTINGS = FitSettings(
    learning_rate=0.02, weight_decay=0.0, gradient_steps=60, batch_comparisons=32, lapse=0.1
)


def _ensemble(members: int = 3) -> RewardEnsemble:
    torch.manual_seed(0)
    ensemble = RewardEnsemble(SPACE, members=members, hidden=(8,))
    ensemble.weights[-1].data.mul_(10)
    return ensemble


def _tensors(told: list[Answer], ensemble: RewardEnsemble) -> AnswerTensors:
    return AnswerTensors(arrays_of(told, heldout_share=0.0), ensemble)


def _fit(ensemble: RewardEnsemble, told: list[Answer], bootstrap_KP: Tensor | None = None) -> float:
    return Fit(ensemble, SETTINGS)(
        _tensors(told, ensemble),
        training=torch.arange(len(told)),
        bootstrap_KP=torch.ones(ensemble.members, len(told)) if bootstrap_KP is None else bootstrap_KP,
        generator=torch.Generator().manual_seed(0),
    )


def test_a_fit_knows_nothing_of_the_one_before() -> None:
    ensemble, told = _ensemble(), answers(20)
    fit, begun = Fit(ensemble, SETTINGS), {k: v.clone() for k, v in ensemble.state_dict().items()}
    losses = []
    for _ in range(2):
        ensemble.load_state_dict(begun)
        losses.append(
            fit(
                _tensors(told, ensemble),
                training=torch.arange(len(told)),
                bootstrap_KP=torch.ones(3, len(told)),
                generator=torch.Generator().manual_seed(0),
            )
        )
    assert losses[0] == losses[1]


def test_the_margin_is_the_difference_of_summed_rewards() -> None:
    told = [
        answer(0, segment("long", steps=6), segment("short", steps=2)),
        answer(1, segment("short", steps=2), segment("other", steps=4)),
    ]
    ensemble = _ensemble()
    inputs, weight, _ = _tensors(told, ensemble).of(torch.arange(2))
    margin = margins(ensemble, inputs, weight)
    for pair, one in enumerate(told):
        for member in range(3):
            totals = []
            for part in (one.first, one.second):
                observation = torch.from_numpy(np.array(part.observations["obs"]))
                raw = ensemble.raw(observation, torch.from_numpy(np.array(part.actions)))
                totals.append(sum(raw[member].tolist()))
            assert margin[member, pair].item() == pytest.approx(totals[0] - totals[1], rel=1e-4)


def test_bootstrap_weights_belong_to_the_answer_and_not_to_its_place() -> None:
    told = answers(30)
    weights = bootstrap_weights(told, members=4, seed=1)
    shuffled = [told[i] for i in np.random.default_rng(0).permutation(30)]
    again = bootstrap_weights(shuffled, members=4, seed=1)
    for column, one in enumerate(shuffled):
        assert torch.equal(again[:, column], weights[:, one.offset])
    assert torch.equal(bootstrap_weights(told[:7], members=4, seed=1), weights[:, :7])
    assert not torch.equal(bootstrap_weights(told, members=4, seed=2), weights)


def test_bootstrap_weights_are_poisson_with_mean_1() -> None:
    weights = bootstrap_weights(answers(500), members=8, seed=0).double()
    assert float(weights.mean()) == pytest.approx(1, abs=3 / math.sqrt(weights.numel()))
    assert float((weights == 0).double().mean()) == pytest.approx(math.exp(-1), abs=0.025)
    assert not torch.equal(weights[0], weights[1])


def test_a_fit_explains_the_answers_better_than_before() -> None:
    told, ensemble = answers(40), _ensemble()
    before = judge(ensemble, _tensors(told, ensemble), torch.arange(40), lapse=0.1)
    _fit(ensemble, told)
    after = judge(ensemble, _tensors(told, ensemble), torch.arange(40), lapse=0.1)
    assert before.log_loss is not None
    assert after.log_loss is not None
    assert after.log_loss < 0.5 * before.log_loss
    assert after.accuracy is not None
    assert after.accuracy > 0.95


def test_a_fit_learns_what_the_teacher_values() -> None:
    ensemble = _ensemble()
    _fit(ensemble, answers(60))
    unseen = [segment(f"unseen-{i}") for i in range(60)]
    with torch.no_grad():
        totals = [
            ensemble.raw(
                torch.from_numpy(np.array(s.observations["obs"])), torch.from_numpy(np.array(s.actions))
            )
            .sum(-1)
            .mean()
            .item()
            for s in unseen
        ]
    assert np.corrcoef(totals, [worth(s) for s in unseen])[0, 1] > 0.8


def test_a_batch_draws_each_answer_as_often_as_any_other() -> None:
    """Few answers fill the batch by coming again; many come at most once."""
    generator = torch.Generator().manual_seed(0)
    for number, count in ((5, 32), (32, 32), (100, 32), (1, 7)):
        times = torch.bincount(_draw(number, count, generator), minlength=number)
        assert int(times.sum()) == count
        assert int(times.max() - times.min()) <= 1
    assert not torch.equal(_draw(100, 32, generator), _draw(100, 32, generator))


def test_a_member_does_not_learn_answers_of_weight_0() -> None:
    told, ensemble = answers(20), _ensemble(2)
    before = [parameter.detach().clone() for parameter in (*ensemble.weights, *ensemble.biases)]
    _fit(ensemble, told, torch.stack([torch.ones(20), torch.zeros(20)]))
    for old, new in zip(before, (*ensemble.weights, *ensemble.biases), strict=True):
        torch.testing.assert_close(new[1], old[1])
    assert not torch.allclose(before[0][0], ensemble.weights[0][0])


def test_answers_left_out_of_training_change_nothing() -> None:
    told = answers(20)
    liars = [answer(i, a.first, a.second, Choice.TIE) if i < 10 else a for i, a in enumerate(told)]
    fitted = []
    for taught in (told, liars):
        ensemble = _ensemble()
        Fit(ensemble, SETTINGS)(
            _tensors(taught, ensemble),
            training=torch.arange(10, 20),
            bootstrap_KP=torch.ones(3, 20),
            generator=torch.Generator().manual_seed(0),
        )
        fitted.append(ensemble.weights[0].detach())
    assert torch.equal(*fitted)


def test_the_judgement_is_of_the_mean_probability() -> None:
    told, ensemble = answers(6), _ensemble()
    tensors = _tensors(told, ensemble)
    judgement = judge(ensemble, tensors, torch.arange(6), lapse=0.1)
    with torch.no_grad():
        *segments, choice = tensors.of(torch.arange(6))
        members = comparison_log_likelihood(
            margin_KP=margins(ensemble, *segments), choice_P=choice, log_tie=ensemble.log_tie, lapse=0.1
        ).double()
    for pair in range(6):
        mean = sum(math.exp(members[k, pair]) for k in range(3)) / 3
        assert judgement.log_loss_P[pair].item() == pytest.approx(-math.log(mean), rel=1e-5)
    assert judgement.log_loss == pytest.approx(judgement.log_loss_P.mean().item())


def test_accuracy_ignores_ties() -> None:
    told, ensemble = answers(8), _ensemble()
    tensors = _tensors(told, ensemble)
    *segments, _ = tensors.of(torch.arange(8))
    margin = margins(ensemble, *segments).mean(0)
    right = [(m > 0) == (a.choice == Choice.FIRST) for m, a in zip(margin.tolist(), told, strict=True)]
    assert 0 < sum(right) < 8
    assert judge(ensemble, tensors, torch.arange(8), lapse=0.1).accuracy == pytest.approx(sum(right) / 8)
    wrong = [i for i in range(8) if not right[i]]
    mixed = [answer(i, a.first, a.second, Choice.TIE) if i in wrong else a for i, a in enumerate(told)]
    assert judge(ensemble, _tensors(mixed, ensemble), torch.arange(8), lapse=0.1).accuracy == 1.0
    ties = [answer(i, a.first, a.second, Choice.TIE) for i, a in enumerate(told)]
    assert judge(ensemble, _tensors(ties, ensemble), torch.arange(8), lapse=0.1).accuracy is None


def test_without_answers_there_is_no_judgement() -> None:
    judgement = judge(_ensemble(), _tensors(answers(2), _ensemble()), torch.arange(0), lapse=0.1)
    assert judgement.log_loss is None
    assert judgement.accuracy is None


def _judged(*log_losses: float) -> Judgement:
    return Judgement(log_loss_P=torch.tensor(log_losses), accuracy=None)


def test_worse_means_beyond_two_standard_errors_of_paired_differences() -> None:
    rng = np.random.default_rng(0)
    verdicts = set()
    for _ in range(60):
        current = rng.normal(1.0, 5.0, 12)
        candidate = current + rng.normal(0.3, 0.5, 12)
        difference = [b - a for a, b in zip(current, candidate, strict=True)]
        mean = sum(difference) / 12
        variance = sum((d - mean) ** 2 for d in difference) / 11
        expected = mean > 2 * math.sqrt(variance / 12)
        assert is_worse(_judged(*candidate), _judged(*current)) == expected
        verdicts.add(expected)
    assert verdicts == {True, False}


def test_better_or_equal_is_never_worse() -> None:
    assert not is_worse(_judged(1.0, 2.0, 3.0), _judged(1.0, 2.0, 3.0))
    assert not is_worse(_judged(0.1, 0.2, 0.3), _judged(1.0, 2.0, 3.0))
    assert is_worse(_judged(1.0, 2.0, 3.0), _judged(0.1, 0.2, 0.3))


def test_fewer_than_two_answers_refuse_nothing() -> None:
    assert not is_worse(_judged(), _judged())
    assert not is_worse(_judged(9.0), _judged(0.1))
