"""Fits that are shorter than others: at a plateau, and where little is new."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from hitl.events import Choice
from hitl.reward.evidence.comparisons import ComparisonLikelihood
from hitl.reward.evidence.judgements import JudgementExamples
from hitl.reward.fitting import PLATEAU_STEPS, Fit, Part, Plateau
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.online import OnlineRewardModel
from hitl.reward.questions.looking import predicted_returns
from hitl.reward.settings import FitSettings
from policies.splits import is_heldout
from tests.hitl.reward.comparisons import (
    SPACE,
    Answer,
    answer,
    answers,
    arrays_of,
    comparisons,
    entry_of,
    segment,
)

NUMBERS: dict[str, Any] = {"learning_rate": 0.02, "weight_decay": 0.0, "gradient_steps": 90}
PROBE = (np.random.default_rng(0).standard_normal((200, 2), np.float32), np.arange(200) % 3)


def _reached(losses: list[float], least: float | None) -> int | None:
    plateau = Plateau(least)
    for step, loss in enumerate(losses):
        if plateau.reached(torch.tensor(loss)):
            return step + 1
    return None


def _by_definition(losses: list[float], least: float) -> int | None:
    for step in range(2 * PLATEAU_STEPS, len(losses) + 1, PLATEAU_STEPS):
        now, before = (
            losses[step - PLATEAU_STEPS : step],
            losses[step - 2 * PLATEAU_STEPS : step - PLATEAU_STEPS],
        )
        if np.mean(before) - np.mean(now) < least:
            return step
    return None


@pytest.mark.parametrize("least", [0.001, 0.02, 0.3])
@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1])
def test_a_plateau_is_where_the_mean_loss_goes_down_no_more(least: float, rate: float) -> None:
    rng = np.random.default_rng(3)
    losses = [math.exp(-rate * step) + 0.01 * rng.standard_normal() for step in range(300)]
    assert _reached(losses, least) == _by_definition(losses, least)
    assert _reached(losses, None) is None


def _steps_of(early_stop: float | None) -> int:
    torch.manual_seed(0)
    ensemble = RewardEnsemble(SPACE, members=2, hidden=(8,))
    examples = JudgementExamples(arrays_of(answers(20), heldout_share=0.0), ensemble, torch.ones(2, 20))
    part = Part(likelihood=ComparisonLikelihood(0.1), examples=examples, batch=16)
    fit = Fit(ensemble, FitSettings(**NUMBERS, early_stop=early_stop))
    fit([part], generator=torch.Generator().manual_seed(0))
    return int(next(iter(fit._optimiser.state.values()))["step"])


def test_a_fit_ends_at_its_plateau() -> None:
    assert _steps_of(None) == 90
    assert _steps_of(10.0) == 2 * PLATEAU_STEPS
    assert _steps_of(1e-9) > 2 * PLATEAU_STEPS


def _model(**changes: Any) -> OnlineRewardModel:
    model = OnlineRewardModel(
        SPACE,
        members=2,
        hidden=(8,),
        settings=FitSettings(**{**NUMBERS, **changes}),
        evidence=[comparisons(heldout_share=0.2)],
        heldout_share=0.2,
        seed=1,
    )
    model.set_probe(*PROBE)
    return model


def _take(model: OnlineRewardModel, told: list[Answer]) -> None:
    for one in told:
        model.take(*entry_of(one))


def _fits(monkeypatch: pytest.MonkeyPatch, model: OnlineRewardModel) -> list[tuple[int | None, int]]:
    """What each fit is told from here on: its gradient steps, and how many of the newest are certain."""
    told: list[tuple[int | None, int]] = []

    def fit(*_: Any, gradient_steps: int | None, newest: int, **__: Any) -> float:
        told.append((gradient_steps, newest))
        return 0.0

    monkeypatch.setattr(model, "_fit", fit)
    return told


@pytest.mark.parametrize(("new", "expected"), [(10, (7, 0)), (11, (7, 0)), (12, (None, 0)), (30, (None, 0))])
def test_few_new_answers_take_few_steps(
    monkeypatch: pytest.MonkeyPatch, new: int, expected: tuple[int | None, int]
) -> None:
    told, model = answers(130), _model(refresh_steps=7)
    fits = _fits(monkeypatch, model)
    _take(model, told[:100])
    model.fit(is_first=True)
    _take(model, told[100 : 100 + new])
    report = model.fit()
    assert fits == [(None, 0), expected]
    assert report is not None
    assert report.kinds["comparisons"].train_accuracy is not None


def test_whole_fits_follow_where_nobody_wants_less_or_can_say_what_is_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = answers(110)
    for model, loads in ((_model(), False), (_model(refresh_steps=7), True)):
        fits = _fits(monkeypatch, model)
        _take(model, told[:100])
        model.fit(is_first=True)
        if loads:
            model.load(model.weights())
        _take(model, told[100:])
        model.fit()
        assert fits == [(None, 0)] * 2
        model.has_learnt()
        model.fit()
        assert fits[-1] == ((7, 0) if loads else (None, 0))


def test_the_newest_are_those_that_came_last() -> None:
    """Comparisons lie in the order of what they are about."""
    kind = comparisons()
    for number, name in enumerate("hbfacedg"):
        kind.take(*entry_of(answer(number, segment(f"{name}/a"), segment(f"{name}/b"))))
    examples = kind.examples(RewardEnsemble(SPACE, members=2, hidden=()))
    assert examples is not None
    part = Part(likelihood=kind.likelihood, examples=examples, batch=4)
    assert part.by_arrival(part.training).tolist() == ["abcdefgh".index(name) for name in "hbfacedg"]
    assert part.by_arrival(torch.tensor([0, 1, 7])).tolist() == [7, 1, 0]


def test_a_refresh_learns_what_is_new() -> None:
    """What is said against the model's opinion of two segments brings it nearer, in a few steps."""
    told, model = (
        [one for one in answers(80) if not _judges(one)],
        _model(refresh_steps=10, learning_rate=5e-3),
    )
    _take(model, told)
    model.fit(is_first=True)
    names = [name for name in (f"new-{n}" for n in range(30)) if not is_heldout(name, 0.2)][:2]
    first, second = (segment(name) for name in names)

    def margin() -> float:
        returns = predicted_returns(model.ensemble, [first, second]).mean(0).detach()
        return float(returns[0] - returns[1])

    before = margin()
    better, worse = (second, first) if before > 0 else (first, second)
    _take(model, [answer(99 + n, better, worse, Choice.FIRST) for n in range(4)])
    model.fit(is_first=True)
    assert margin() * math.copysign(1, before) < abs(before) - 0.1


def _judges(one: Answer) -> bool:
    return is_heldout(one.first.segment_id, 0.2) or is_heldout(one.second.segment_id, 0.2)
