"""The newest answers are judged once, by the version that did not know of them."""

from typing import Any

import numpy as np
import pytest
import torch

from hitl.events import Choice
from hitl.reward.checks.prequential import WINDOW, Prequential
from hitl.reward.evidence.judgements import JudgementExamples
from hitl.reward.fitting import Part, judge
from hitl.reward.online import KindReport, OnlineRewardModel
from hitl.reward.settings import FitSettings
from tests.hitl.reward.comparisons import (
    SPACE,
    Answer,
    answer,
    answers,
    arrays_of,
    comparisons,
    entry_of,
    retraction_of,
    segment,
)

SETTINGS = FitSettings(learning_rate=0.02, weight_decay=0.0, gradient_steps=15)
PROBE = (np.random.default_rng(0).standard_normal((200, 2), np.float32), np.arange(200) % 3)


def _model(*others: Any) -> OnlineRewardModel:
    model = OnlineRewardModel(
        SPACE,
        members=2,
        hidden=(8,),
        settings=SETTINGS,
        evidence=[comparisons(heldout_share=0.2, seed=1), *others],
        heldout_share=0.2,
        seed=1,
    )
    model.set_probe(*PROBE)
    return model


def _take(model: OnlineRewardModel, told: list[Answer]) -> None:
    for one in told:
        model.take(*entry_of(one))


def _fit(model: OnlineRewardModel) -> KindReport:
    report = model.fit(is_first=True)
    assert report is not None
    return report.kinds["comparisons"]


def _foreseen(model: OnlineRewardModel, told: list[Answer]) -> tuple[list[float], list[bool]]:
    """Judge these answers alone, as the model stands."""
    examples = JudgementExamples(arrays_of(told, heldout_share=0.0), model.ensemble, torch.ones(2, len(told)))
    part = Part(likelihood=model.evidence["comparisons"].likelihood, examples=examples, batch=16)
    found = judge(model.ensemble, part, torch.arange(len(told)))
    return found.log_loss_E.tolist(), found.right_E[found.decided_E].tolist()


def test_each_answer_is_judged_by_the_version_before_it() -> None:
    told, model = answers(60), _model()
    _take(model, told[:20])
    first = _fit(model)
    assert (first.fresh_count, first.fresh_log_loss, first.fresh_accuracy) == (0, None, None)
    losses: list[float] = []
    rights: list[bool] = []
    for begin, end in ((20, 27), (27, 28), (28, 28), (28, 60)):
        _take(model, told[begin:end])
        if begin < end:
            new_losses, new_rights = _foreseen(model, told[begin:end])
            losses, rights = losses + new_losses, rights + new_rights
        report = _fit(model)
        assert report.fresh_count == len(losses)
        assert report.fresh_log_loss == pytest.approx(np.mean(losses), abs=1e-6)
        assert report.fresh_accuracy == pytest.approx(np.mean(rights))


def test_only_the_newest_count() -> None:
    told, model = answers(WINDOW + 40), _model()
    _take(model, told[:10])
    _fit(model)
    losses: list[float] = []
    for one in told[10:]:
        _take(model, [one])
        losses += _foreseen(model, [one])[0]
        report = _fit(model)
    assert report.fresh_count == WINDOW
    assert report.fresh_log_loss == pytest.approx(np.mean(losses[-WINDOW:]), abs=1e-6)


def test_a_repeat_is_not_new_and_a_retraction_makes_nothing_new() -> None:
    told, model = answers(20), _model()
    _take(model, told[:18])
    _fit(model)
    _take(model, told[:5])
    assert _fit(model).fresh_count == 0
    # The newest one is taken back; the next one is the only new one.
    model.take(*retraction_of(told[17]))
    assert _fit(model).fresh_count == 0
    _take(model, told[18:19])
    assert _fit(model).fresh_count == 1
    for one in told[:19]:
        model.take(*retraction_of(one))
    assert model.fit() is None
    _take(model, told[19:])
    assert _fit(model).fresh_count == 2


def test_ties_have_a_log_loss_and_no_side() -> None:
    told, model = answers(20), _model()
    _take(model, told)
    _fit(model)
    _take(model, [answer(50, segment("tie/a"), segment("tie/b"), Choice.TIE)])
    report = _fit(model)
    assert report.fresh_count == 1
    assert report.fresh_log_loss is not None
    assert report.fresh_accuracy is None


def test_nobody_knows_what_a_loaded_version_has_learnt() -> None:
    told, model, other = answers(40), _model(), _model()
    _take(model, told[:20])
    _fit(model)
    _take(other, told[:30])
    other.load(model.weights())
    assert _fit(other).fresh_count == 0
    _take(other, told[30:35])
    assert _fit(other).fresh_count == 5


def test_a_version_whose_evidence_is_known_is_gone_on_from() -> None:
    told, model, other = answers(40), _model(), _model()
    _take(model, told[:20])
    _fit(model)
    _take(other, told[:20])
    other.load(model.weights())
    other.has_learnt()
    for each in (model, other):
        each.begin_anew(7)
        _take(each, told[20:30])
    assert _fit(model) == _fit(other)
    assert _fit(other).fresh_count == 10


def test_what_begins_anew_has_an_empty_window() -> None:
    told, model = answers(40), _model()
    _take(model, told[:20])
    _fit(model)
    _take(model, told[20:30])
    assert _fit(model).fresh_count == 10
    model.begin_anew(3)
    assert _fit(model).fresh_count == 0
    _take(model, told[30:32])
    assert _fit(model).fresh_count == 2


def test_a_kind_that_comes_late_is_judged_from_its_first_piece() -> None:
    fresh, told, model = Prequential(), answers(6), _model()
    examples = JudgementExamples(arrays_of(told, heldout_share=0.0), model.ensemble, torch.ones(2, 6))
    part = Part(likelihood=model.evidence["comparisons"].likelihood, examples=examples, batch=16)
    fresh.judge(model.ensemble, None)
    fresh.judge(model.ensemble, part)
    # All of these answers came as number 0.
    assert len(fresh) == 6


def test_a_version_in_the_place_of_one_that_was_judged_begins_anew() -> None:
    told, model = answers(40), _model()
    _take(model, told[:20])
    _fit(model)
    _take(model, told[20:30])
    assert _fit(model).fresh_count == 10
    _take(model, told[30:35])
    model.load(model.weights())
    assert _fit(model).fresh_count == 0
