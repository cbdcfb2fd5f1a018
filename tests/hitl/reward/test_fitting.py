import math

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from hitl.events import Choice
from hitl.reward.evidence.bootstrap import bootstrap_weights
from hitl.reward.evidence.comparisons import ComparisonLikelihood
from hitl.reward.evidence.judgements import JudgementExamples
from hitl.reward.fitting import Fit, Judgement, Part, draw, is_worse, judge
from hitl.reward.likelihoods.comparisons import comparison_log_likelihood
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.settings import FitSettings
from tests.hitl.reward.comparisons import SPACE, Answer, answer, answers, arrays_of, segment, worth

SETTINGS = FitSettings(learning_rate=0.02, weight_decay=0.0, gradient_steps=60)
LIKELIHOOD = ComparisonLikelihood(lapse=0.1)


def _ensemble(members: int = 3) -> RewardEnsemble:
    torch.manual_seed(0)
    ensemble = RewardEnsemble(SPACE, members=members, hidden=(8,))
    ensemble.weights[-1].data.mul_(10)
    return ensemble


def _part(told: list[Answer], ensemble: RewardEnsemble, bootstrap_KP: Tensor | None = None) -> Part:
    bootstrap = torch.ones(ensemble.members, len(told)) if bootstrap_KP is None else bootstrap_KP
    examples = JudgementExamples(arrays_of(told, heldout_share=0.0), ensemble, bootstrap)
    return Part(likelihood=LIKELIHOOD, examples=examples, batch=32)


def _fit(ensemble: RewardEnsemble, told: list[Answer], bootstrap_KP: Tensor | None = None) -> float:
    part = _part(told, ensemble, bootstrap_KP)
    return Fit(ensemble, SETTINGS)([part], generator=torch.Generator().manual_seed(0))


def _judge(ensemble: RewardEnsemble, told: list[Answer], pairs: int | None = None) -> Judgement:
    return judge(ensemble, _part(told, ensemble), torch.arange(len(told) if pairs is None else pairs))


def test_a_fit_knows_nothing_of_the_one_before() -> None:
    ensemble, told = _ensemble(), answers(20)
    fit, begun = Fit(ensemble, SETTINGS), {k: v.clone() for k, v in ensemble.state_dict().items()}
    losses = []
    for _ in range(2):
        ensemble.load_state_dict(begun)
        losses.append(fit([_part(told, ensemble)], generator=torch.Generator().manual_seed(0)))
    assert losses[0] == losses[1]


def test_a_quick_fit_goes_on_from_the_one_before() -> None:
    """In two halves it is the same as in one."""
    told, fitted = answers(20), []
    for halves in ((60,), (30, 30)):
        ensemble = _ensemble()
        fit, generator = Fit(ensemble, SETTINGS), torch.Generator().manual_seed(0)
        for steps in halves:
            fit([_part(told, ensemble)], generator=generator, gradient_steps=steps, anew=False)
        fitted.append(ensemble.weights[0].detach())
    assert torch.equal(*fitted)


def test_the_margin_is_the_difference_of_summed_rewards() -> None:
    told = [
        answer(0, segment("long", steps=6), segment("short", steps=2)),
        answer(1, segment("short", steps=2), segment("other", steps=4)),
    ]
    ensemble = _ensemble()
    *segments, _ = _part(told, ensemble).examples.of(torch.arange(2))
    margin = LIKELIHOOD.predict(ensemble, *segments)
    for pair, one in enumerate(told):
        for member in range(3):
            totals = []
            for part in (one.first, one.second):
                observation = torch.from_numpy(np.array(part.observations["obs"]))
                raw = ensemble.raw(observation, torch.from_numpy(np.array(part.actions)))
                totals.append(sum(raw[member].tolist()))
            assert margin[member, pair].item() == pytest.approx(totals[0] - totals[1], rel=1e-4)


def test_bootstrap_weights_belong_to_the_answer_and_not_to_its_place() -> None:
    names = [f"{number}/first/{number}/second" for number in range(30)]
    weights = bootstrap_weights(names, members=4, seed=1)
    shuffled = np.random.default_rng(0).permutation(30)
    again = bootstrap_weights([names[i] for i in shuffled], members=4, seed=1)
    for column, one in enumerate(shuffled):
        assert torch.equal(again[:, column], weights[:, one])
    assert torch.equal(bootstrap_weights(names[:7], members=4, seed=1), weights[:, :7])
    assert not torch.equal(bootstrap_weights(names, members=4, seed=2), weights)


def test_bootstrap_weights_are_poisson_with_mean_1() -> None:
    weights = bootstrap_weights([str(number) for number in range(500)], members=8, seed=0).double()
    assert float(weights.mean()) == pytest.approx(1, abs=3 / math.sqrt(weights.numel()))
    assert float((weights == 0).double().mean()) == pytest.approx(math.exp(-1), abs=0.025)
    assert not torch.equal(weights[0], weights[1])


def test_a_fit_explains_the_answers_better_than_before() -> None:
    told, ensemble = answers(40), _ensemble()
    before = _judge(ensemble, told)
    _fit(ensemble, told)
    after = _judge(ensemble, told)
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
        times = torch.bincount(draw(torch.arange(number), count, generator), minlength=number)
        assert int(times.sum()) == count
        assert int(times.max() - times.min()) <= 1
    assert not torch.equal(*(draw(torch.arange(100), 32, generator) for _ in range(2)))


@pytest.mark.parametrize(("newest", "certain"), [(0, 0), (3, 3), (16, 16), (40, 16)])
def test_the_newest_are_in_every_batch_and_the_rest_is_drawn_from_all(newest: int, certain: int) -> None:
    generator, rows = torch.Generator().manual_seed(0), torch.arange(1000, 2000)
    batches = [draw(rows, 32, generator, newest=newest).tolist() for _ in range(50)]
    assert all(len(batch) == 32 for batch in batches)
    last = list(range(2000 - certain, 2000))
    assert all(batch[:certain] == last for batch in batches)
    drawn = [row for batch in batches for row in batch[certain:]]
    assert min(drawn) >= 1000
    assert np.mean(drawn) == pytest.approx(1500, abs=45)


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
        part = _part(taught, ensemble)
        part.examples.heldout_E[:10] = True
        Fit(ensemble, SETTINGS)([part], generator=torch.Generator().manual_seed(0))
        fitted.append(ensemble.weights[0].detach())
    assert torch.equal(*fitted)


def test_the_judgement_is_of_the_mean_probability() -> None:
    told, ensemble = answers(6), _ensemble()
    judgement = _judge(ensemble, told)
    with torch.no_grad():
        *segments, choice = _part(told, ensemble).examples.of(torch.arange(6))
        margin = LIKELIHOOD.predict(ensemble, *segments)
        members = comparison_log_likelihood(
            margin_KP=margin, choice_P=choice, log_tie=ensemble.log_tie, lapse=0.1
        ).double()
    for pair in range(6):
        mean = sum(math.exp(members[k, pair]) for k in range(3)) / 3
        assert judgement.log_loss_E[pair].item() == pytest.approx(-math.log(mean), rel=1e-5)
    assert judgement.log_loss == pytest.approx(judgement.log_loss_E.mean().item())


def test_accuracy_ignores_ties() -> None:
    told, ensemble = answers(8), _ensemble()
    *segments, _ = _part(told, ensemble).examples.of(torch.arange(8))
    margin = LIKELIHOOD.predict(ensemble, *segments).mean(0)
    right = [(m > 0) == (a.choice == Choice.FIRST) for m, a in zip(margin.tolist(), told, strict=True)]
    assert 0 < sum(right) < 8
    assert _judge(ensemble, told).accuracy == pytest.approx(sum(right) / 8)
    wrong = [i for i in range(8) if not right[i]]
    mixed = [answer(i, a.first, a.second, Choice.TIE) if i in wrong else a for i, a in enumerate(told)]
    assert _judge(ensemble, mixed).accuracy == 1.0
    ties = [answer(i, a.first, a.second, Choice.TIE) for i, a in enumerate(told)]
    assert _judge(ensemble, ties).accuracy is None


def test_without_answers_there_is_no_judgement() -> None:
    judgement = _judge(_ensemble(), answers(2), 0)
    assert judgement.log_loss is None
    assert judgement.accuracy is None


def test_a_judgement_names_the_blocks_of_what_was_judged() -> None:
    ensemble = _ensemble()
    part = _part(answers(8), ensemble)
    part.examples.block_E = np.arange(8) // 2 + 10
    assert judge(ensemble, part, torch.tensor([6, 1, 7])).block_E.tolist() == [13, 10, 13]


def _judged(*log_losses: float, blocks: ArrayLike | None = None) -> Judgement:
    block_E = np.arange(len(log_losses)) if blocks is None else np.asarray(blocks)
    none = np.zeros(len(log_losses), bool)
    return Judgement(
        log_loss_E=torch.tensor(log_losses), right_E=none, decided_E=none, block_E=np.asarray(block_E)
    )


def test_worse_means_beyond_two_standard_errors_of_paired_differences() -> None:
    """Of 12 pieces, Student's t exceeds 2.25 as rarely as two is exceeded with many."""
    rng = np.random.default_rng(0)
    verdicts = set()
    for _ in range(60):
        current = rng.normal(1.0, 5.0, 12)
        candidate = current + rng.normal(0.3, 0.5, 12)
        difference = [b - a for a, b in zip(current, candidate, strict=True)]
        mean = sum(difference) / 12
        variance = sum((d - mean) ** 2 for d in difference) / 11
        expected = mean > 2.25 * math.sqrt(variance / 12)
        assert is_worse([_judged(*candidate)], [_judged(*current)]) == expected
        verdicts.add(expected)
    assert verdicts == {True, False}


def test_better_or_equal_is_never_worse() -> None:
    assert not is_worse([_judged(1.0, 2.0, 3.0)], [_judged(1.0, 2.0, 3.0)])
    assert not is_worse([_judged(0.1, 0.2, 0.3)], [_judged(1.0, 2.0, 3.0)])
    assert is_worse([_judged(1.0, 2.0, 3.0, 2.0, 1.5)], [_judged(0.1, 0.2, 0.3, 0.2, 0.1)])


def test_fewer_than_two_answers_refuse_nothing() -> None:
    assert not is_worse([_judged()], [_judged()])
    assert not is_worse([_judged(9.0)], [_judged(0.1)])


def test_with_many_pieces_the_limit_is_two_standard_errors() -> None:
    count = 20_000
    difference = np.random.default_rng(0).normal(0.0, 1.0, count)
    difference = (difference - difference.mean()) / difference.std(ddof=1)
    nothing = _judged(*np.zeros(count))
    for errors, expected in ((1.98, False), (2.02, True)):
        assert is_worse([_judged(*(difference + errors / math.sqrt(count)))], [nothing]) == expected


def test_a_block_of_agreeing_pieces_is_one_witness() -> None:
    worse, nothing = [0.1, 0.11, 0.09, 0.1, 0.1, 0.12, 0.1, 0.11], [0.0] * 8
    for blocks, expected in ((range(8), True), ([7] * 8, False), ([1, 1, 1, 1, 2, 2, 2, 2], True)):
        judged = (_judged(*losses, blocks=list(blocks)) for losses in (worse, nothing))
        assert is_worse([next(judged)], [next(judged)]) == expected
    # Three blocks that do not agree, however many pieces say so in each.
    split = np.repeat([0.3, 0.2, -0.1], 50)
    apart, blocks = _judged(*split), np.repeat([0, 1, 2], 50)
    assert is_worse([apart], [_judged(*np.zeros(150))])
    assert not is_worse([_judged(*split, blocks=blocks)], [_judged(*np.zeros(150), blocks=blocks)])


def test_the_error_of_blocks_is_that_of_their_sums() -> None:
    rng = np.random.default_rng(1)
    verdicts = set()
    for _ in range(60):
        block_E = rng.integers(0, 6, 40)
        block_E[:6] = range(6)
        difference_E = rng.normal(0.15, 0.2, 40) + rng.normal(0.0, 0.2, 6)[block_E]
        mean = sum(difference_E) / 40
        squares = 0.0
        for block in range(6):
            squares += sum(d - mean for d, b in zip(difference_E, block_E, strict=True) if b == block) ** 2
        error = math.sqrt(squares * 6 / 5) / 40
        # The 97.7th percentile of Student's t with 5 degrees of freedom.
        expected = mean > 2.649 * error
        judged = (_judged(*losses, blocks=block_E) for losses in (difference_E, np.zeros(40)))
        assert is_worse([next(judged)], [next(judged)]) == expected
        verdicts.add(expected)
    assert verdicts == {True, False}


def test_blocks_of_different_kinds_are_different_witnesses() -> None:
    one, other = _judged(0.1, 0.11, blocks=[5, 5]), _judged(0.1, 0.12, blocks=[5, 5])
    nothing = _judged(0.0, 0.0, blocks=[5, 5])
    assert not is_worse([one], [nothing])
    assert is_worse([one, other], [nothing, nothing])


def test_kinds_are_judged_together() -> None:
    """Worse on many of one kind and better on few of another is worse, and the other way round."""
    many, few = _judged(*[1.0] * 40), _judged(1.0, 1.0)
    worse, better = _judged(*[1.1] * 40), _judged(0.9, 0.9)
    assert is_worse([worse, better], [many, few])
    assert not is_worse([_judged(*[0.9] * 40), _judged(1.1, 1.1)], [many, few])
