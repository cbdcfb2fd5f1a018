"""How much teachers look at the reward is found, by an interval that holds what is true as often as it says."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hitl.events import Choice
from hitl.reward.evidence.comparisons import ComparisonLikelihood
from hitl.reward.fitting import Part, judge
from hitl.reward.likelihoods.comparisons import comparison_log_likelihood
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.rationality import Heard, Rationality, heard, rationalities, turned_over
from hitl.reward.settings import TeacherSettings
from tests.hitl.reward.comparisons import SPACE, answer, comparisons, segment

LIKELIHOOD = ComparisonLikelihood(lapse=0.0)
SETTINGS = TeacherSettings(weighted=True, spread=2.0, most_weight=3.0)


def _ensemble() -> RewardEnsemble:
    ensemble = RewardEnsemble(SPACE, members=2, hidden=())
    torch.nn.init.constant_(ensemble.log_tie, -20.0)
    return ensemble


def _said(margin_E: np.ndarray, rationality: float, rng: np.random.Generator) -> np.ndarray:
    """0 first, 1 second; below 0 the better one is the worse."""
    return (rng.random(len(margin_E)) > 1 / (1 + np.exp(-rationality * margin_E))).astype(np.int64)


def _found(
    margin_KE: np.ndarray, said_E: np.ndarray, teacher_E: np.ndarray, unseen_KE: np.ndarray | None = None,
    settings: TeacherSettings = SETTINGS, block_E: np.ndarray | None = None, is_anchored: bool = False,
) -> dict[int, Rationality]:  # fmt: skip
    said = _heard(margin_KE, said_E, teacher_E, unseen_KE, settings, block_E)
    # What has no contrary is heard with a positive rationality alone.
    others = {"ratings": _heard(margin_KE, said_E, teacher_E)} if is_anchored else {}
    return rationalities(turned_over({"comparisons": said, **others})["comparisons"], settings)


def _heard(
    margin_KE: np.ndarray, said_E: np.ndarray, teacher_E: np.ndarray, unseen_KE: np.ndarray | None = None,
    settings: TeacherSettings = SETTINGS, block_E: np.ndarray | None = None,
) -> Heard:  # fmt: skip
    unseen = np.ones(margin_KE.shape, bool) if unseen_KE is None else unseen_KE
    return heard(
        _ensemble(),
        LIKELIHOOD,
        torch.from_numpy(margin_KE).float(),
        torch.from_numpy(said_E),
        unseen_KE=torch.from_numpy(unseen),
        teacher_E=teacher_E,
        block_E=np.arange(len(said_E)) if block_E is None else block_E,
        settings=settings,
    )


def test_the_interval_holds_the_true_rationality_as_often_as_it_says() -> None:
    """One teacher of rationality 1 who has said nearly all, so that the mean is theirs, and one of another."""
    inside, tried = 0, 120
    for seed in range(tried):
        rng = np.random.default_rng(seed)
        true = float(np.exp(rng.normal(0, 0.7)))
        margin = rng.normal(0, 2, 4060)
        teacher = np.repeat([0, 1], [4000, 60])
        said = np.concatenate([_said(margin[:4000], 1.0, rng), _said(margin[4000:], true, rng)])
        one = _found(np.stack([margin, margin]), said, teacher)[1]
        inside += one.low <= true <= one.high
        assert one.low < one.mean < one.high
    assert inside / tried == pytest.approx(0.95, abs=0.06)


@pytest.mark.parametrize("each", [60, 1500])
def test_the_interval_is_of_what_a_teacher_is_beside_others_who_are_not_known_either(each: int) -> None:
    inside, tried, true = np.zeros(2), 120, np.array([2.0, 0.6])
    for seed in range(tried):
        rng = np.random.default_rng(seed)
        margin = rng.normal(0, 2, 2 * each)
        said = np.concatenate(
            [_said(m, beta, rng) for m, beta in zip(np.split(margin, 2), true, strict=True)]
        )
        found = _found(np.stack([margin, margin]), said, np.repeat([0, 1], each))
        inside += [found[n].low <= true[n] / true.mean() <= found[n].high for n in range(2)]
    assert inside / tried == pytest.approx(0.95, abs=0.06)


def _around(margin_K: np.ndarray, unseen_K: np.ndarray) -> list[float]:
    """The mean of who did not see it, and all members' distances from their mean, in plain loops."""
    unseen = [margin for margin, was_not in zip(margin_K, unseen_K, strict=True) if was_not]
    if not unseen:
        return []
    members = len(margin_K)
    # A sample's variance is too small; the mean of those who did not see it has a variance of its own.
    wider = math.sqrt(members / (members - 1) * (1 + 1 / len(unseen)))
    mean = sum(margin_K) / members
    return [sum(unseen) / len(unseen) + wider * (margin - mean) for margin in margin_K]


def test_the_posterior_is_bayes_rule_in_plain_loops() -> None:
    rng = np.random.default_rng(0)
    margin = rng.normal(0, 2, (2, 30))
    said, teacher = rng.integers(0, 2, 30), np.repeat([3, 7], 15)
    unseen = rng.random((2, 30)) < 0.5
    found = _found(margin, said, teacher, unseen)
    grid = np.linspace(math.log(1 / 64), math.log(16), 449)
    means = {}
    for number in (3, 7):
        weights = []
        for g in grid:
            log_posterior = -0.5 * (g / SETTINGS.spread) ** 2
            for e in np.flatnonzero(teacher == number):
                members = [
                    1 / (1 + math.exp(-math.exp(g) * expected * (1 - 2 * said[e])))
                    for expected in _around(margin[:, e], unseen[:, e])
                ]
                log_posterior += math.log(sum(members) / len(members)) if members else 0.0
            weights.append(math.exp(log_posterior))
        means[number] = float(np.dot(weights, np.exp(grid)) / sum(weights))
    of_all = sum(means.values()) / 2
    for number in (3, 7):
        assert found[number].mean == pytest.approx(means[number] / of_all, rel=1e-4)
        assert found[number].pieces == 15


def test_who_turns_answers_round_hardly_counts_and_nobody_counts_for_more_than_the_cap() -> None:
    rng = np.random.default_rng(1)
    margin = rng.normal(0, 2, 400)
    teacher = np.repeat([0, 1, 2, 3], 100)
    said = np.concatenate(
        [_said(m, beta, rng) for m, beta in zip(np.split(margin, 4), (3, 1, 0, -3), strict=True)]
    )
    found = _found(np.stack([margin, margin]), said, teacher)
    weights = [found[number].weight for number in range(4)]
    assert weights[0] > weights[1] > weights[2] > weights[3]
    assert weights[3] < 0.1
    capped = _found(
        np.stack([margin, margin]), said, teacher,
        settings=TeacherSettings(weighted=True, spread=2.0, most_weight=1.2),
    )  # fmt: skip
    assert capped[0].weight == 1.2
    assert capped[0].mean == found[0].mean


CONTRARY = TeacherSettings(weighted=True, spread=2.0, most_weight=3.0, contrary=0.05)


def test_who_says_the_contrary_has_a_rationality_below_0() -> None:
    rng = np.random.default_rng(4)
    margin = rng.normal(0, 2, 300)
    teacher = np.repeat([0, 1, 2], 100)
    said = np.concatenate(
        [_said(m, beta, rng) for m, beta in zip(np.split(margin, 3), (2, 0, -2), strict=True)]
    )
    found = _found(np.stack([margin] * 2), said, teacher, settings=CONTRARY)
    assert found[0].mean == pytest.approx(-found[2].mean, rel=0.5)
    assert found[2].high < 0 < found[0].low
    assert abs(found[1].weight) < 0.1
    capped = TeacherSettings(weighted=True, spread=2.0, most_weight=0.5, contrary=0.05)
    assert _found(np.stack([margin] * 2), said, teacher, settings=capped)[2].weight == -0.5


def test_one_who_has_said_nothing_telling_is_not_thought_contrary() -> None:
    margin, said, teacher = np.zeros((2, 20)), np.zeros(20, np.int64), np.repeat([0, 1], 10)
    found = _found(margin, said, teacher, settings=CONTRARY)
    assert found[0].mean == pytest.approx(1.0)
    assert found[0].low < 0 < found[0].high


def test_the_posterior_with_a_contrary_is_bayes_rule_in_plain_loops() -> None:
    rng = np.random.default_rng(5)
    margin = rng.normal(0, 1, (2, 12))
    said, teacher = rng.integers(0, 2, 12), np.repeat([3, 7], 6)
    found = _found(margin, said, teacher, settings=CONTRARY)
    means = {}
    for number in (3, 7):
        total, mean = 0.0, 0.0
        for sign, share in ((1, 0.95), (-1, 0.05)):
            for g in np.linspace(math.log(1 / 64), math.log(16), 449):
                posterior = share * math.exp(-0.5 * (g / CONTRARY.spread) ** 2)
                for e in np.flatnonzero(teacher == number):
                    expected = np.array(_around(margin[:, e], np.ones(2, bool)))
                    odds = sign * math.exp(g) * expected * (1 - 2 * said[e])
                    posterior *= float(np.mean(1 / (1 + np.exp(-odds))))
                total, mean = total + posterior, mean + posterior * sign * math.exp(g)
        means[number] = mean / total
    of_all = sum(abs(mean) for mean in means.values()) / 2
    for number in (3, 7):
        assert found[number].mean == pytest.approx(means[number] / of_all, rel=1e-4)


def _company(betas: tuple[float, ...], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True margins, [2, E], what teachers of these rationalities say, each of 40 pairs, and who said it."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(0, 2, 40 * len(betas))
    parts = zip(np.split(margin, len(betas)), betas, strict=True)
    said = np.concatenate([_said(part, beta, rng) for part, beta in parts])
    return np.stack([margin] * 2), said, np.repeat(np.arange(len(betas)), 40)


def test_a_model_that_takes_the_many_for_the_contrary_is_upside_down() -> None:
    margin, said, teacher = _company((2, 2, 2, -2), seed=6)
    upright = _found(margin, said, teacher, settings=CONTRARY)
    assert _found(-margin, said, teacher, settings=CONTRARY) == upright
    assert [upright[number].weight > 0 for number in range(4)] == [True, True, True, False]


def test_what_has_no_contrary_keeps_a_model_the_right_way_up() -> None:
    margin, said, teacher = _company((2, 2, 2, -2), seed=6)
    anchored = _found(-margin, said, teacher, settings=CONTRARY, is_anchored=True)
    assert [anchored[number].weight > 0 for number in range(4)] == [False, False, False, True]


def test_one_who_is_alone_in_a_kind_does_not_turn_over_what_the_many_say_in_another() -> None:
    """The model is one: only an adversary ranks, but who compares shows that it is the right way up."""
    margin, said, teacher = _company((2, 2, 2, -2), seed=6)
    alone = teacher == 3
    kinds = {
        "comparisons": _heard(margin, said, teacher, settings=CONTRARY),
        "rankings": _heard(margin[:, alone], said[alone], teacher[alone], settings=CONTRARY),
    }
    found = {name: rationalities(one, CONTRARY) for name, one in turned_over(kinds).items()}
    assert found["rankings"][3].weight < 0 < found["comparisons"][0].weight


@pytest.mark.parametrize("seed", range(7, 12))
def test_without_a_majority_a_model_stays_as_it_is(seed: int) -> None:
    margin, said, teacher = _company((2, -2), seed)
    for sign in (1, -1):
        found = _found(sign * margin, said, teacher, settings=CONTRARY)
        assert found[0].weight * sign > 0 > found[1].weight * sign


def test_of_who_says_the_contrary_the_contrary_is_right() -> None:
    told = [answer(n, segment(f"a{n}"), segment(f"b{n}"), Choice.FIRST) for n in range(4)]
    ensemble = RewardEnsemble(SPACE, members=2, hidden=())
    examples = comparisons(told).examples(ensemble)
    assert examples is not None
    part = Part(likelihood=LIKELIHOOD, examples=examples, batch=4)
    rows = torch.arange(4)
    mean_E = LIKELIHOOD.predict(ensemble, *examples.of(rows)[:-1]).detach().mean(0).numpy()
    right_E = judge(ensemble, part, rows).right_E
    np.testing.assert_array_equal(right_E, mean_E > 0)
    turned = replace(part, rationality_E=torch.tensor([1.0, -1.0, 1.0, -1.0]))
    np.testing.assert_array_equal(judge(ensemble, turned, rows).right_E, right_E ^ [False, True, False, True])


def test_who_has_said_little_is_taken_for_one_like_the_others() -> None:
    rng = np.random.default_rng(2)
    margin = rng.normal(0, 2, 303)
    said = _said(margin, 1.0, rng)
    said[300:] = 1 - _said(margin[300:], 50.0, rng)
    teacher = np.repeat([0, 1], [300, 3])
    shrunk = _found(
        np.stack([margin] * 2), said, teacher, settings=TeacherSettings(weighted=True, spread=0.3)
    )
    assert shrunk[1].mean > 0.6
    assert _found(np.stack([margin] * 2), said, teacher)[1].mean < 0.4


def test_what_all_members_were_fitted_to_says_nothing() -> None:
    margin, teacher = np.repeat([[5.0, -5.0], [2.0, -2.0], [2.0, -2.0]], 20, axis=1), np.repeat([0, 1], 20)
    found = _found(margin, np.zeros(40, np.int64), teacher, np.zeros((3, 40), bool))
    assert found[0].weight == found[1].weight == pytest.approx(1.0)


def test_the_error_of_the_model_is_not_taken_for_noise_of_the_teachers() -> None:
    """Members err together, by chance of what was said, and each by itself, by chance of its bootstrap."""
    inside, tried, true = np.zeros(2), 120, np.array([2.0, 0.6])
    for seed in range(tried):
        rng = np.random.default_rng(seed)
        margin = rng.normal(0, 2, 800)
        said = np.concatenate(
            [_said(m, beta, rng) for m, beta in zip(np.split(margin, 2), true, strict=True)]
        )
        predicted = margin + rng.normal(0, 0.5, 800) + rng.normal(0, 0.5, (5, 800))
        found = _found(predicted, said, np.repeat([0, 1], 400), rng.random((5, 800)) < 0.37)
        inside += [found[n].low <= true[n] / true.mean() <= found[n].high for n in range(2)]
    assert inside / tried == pytest.approx(0.95, abs=0.06)


def test_pieces_of_one_block_are_one_witness() -> None:
    rng = np.random.default_rng(3)
    margin = rng.normal(0, 2, 200)
    said = np.concatenate([_said(margin[:100], 2.0, rng), _said(margin[100:], 0.0, rng)])
    teacher = np.repeat([0, 1], 100)
    apart = _found(np.stack([margin] * 2), said, teacher)
    together = _found(np.stack([margin] * 2), said, teacher, block_E=np.repeat(np.arange(4), 50))
    assert together[1].high - together[1].low > 2 * (apart[1].high - apart[1].low)


def test_a_rationality_multiplies_the_margin() -> None:
    margin, said = Tensor([[0.3, -2.0]]), torch.tensor([0, 1])
    ensemble = _ensemble()
    found = ComparisonLikelihood(lapse=0.1).log_likelihood(ensemble, margin, said, Tensor([2.0, 0.5]))
    expected = comparison_log_likelihood(
        margin_KP=Tensor([[0.6, -1.0]]), choice_P=said, log_tie=ensemble.log_tie, lapse=0.1
    )
    torch.testing.assert_close(found, expected)
