"""A reward model that weighs its teachers: the first version knows them, and one who says the contrary teaches, too."""

from dataclasses import replace

import numpy as np
from scipy.stats import kendalltau

from hitl.events import Choice
from hitl.reward.evidence.comparisons import ComparisonLikelihood, Comparisons
from hitl.reward.evidence.evidence import Teachers
from hitl.reward.online import FitReport, OnlineRewardModel
from hitl.reward.questions.looking import predicted_returns
from hitl.reward.settings import FitSettings, TeacherSettings
from tests.hitl.reward.comparisons import SPACE, Answer, answers, entry_of, segment, worth

NAMES = ("ann", "bob", "cid", "dan", "eve")
PROBE = (np.random.default_rng(0).standard_normal((200, 2), np.float32), np.arange(200) % 3)


def _said(count: int) -> list[Answer]:
    """Of five teachers by turns; eve says the contrary."""
    told = []
    for number, one in enumerate(answers(count)):
        teacher = NAMES[number % len(NAMES)]
        contrary = Choice.SECOND if one.choice is Choice.FIRST else Choice.FIRST
        told.append(replace(one, teacher_id=teacher, choice=contrary if teacher == "eve" else one.choice))
    return told


def _model(settings: TeacherSettings) -> OnlineRewardModel:
    teachers = Teachers()
    kind = Comparisons(ComparisonLikelihood(0.05), teachers, batch=32, heldout_share=0.0, seed=0)
    numbers = FitSettings(learning_rate=0.02, weight_decay=0.0, gradient_steps=100)
    model = OnlineRewardModel(
        SPACE, members=3, hidden=(), settings=numbers, evidence=[kind], heldout_share=0.0, seed=1,
        teachers=teachers, teacher_settings=settings,
    )  # fmt: skip
    model.set_probe(*PROBE)
    return model


def _learnt(model: OnlineRewardModel, count: int = 300) -> FitReport:
    for one in _said(count):
        model.take(*entry_of(one))
    report = model.fit(is_first=True)
    assert report is not None
    return report


def _tau(model: OnlineRewardModel) -> float:
    fresh = [segment(f"fresh-{number}") for number in range(100)]
    found = predicted_returns(model.ensemble, fresh).mean(0).detach()
    return float(kendalltau(found, [worth(one) for one in fresh]).statistic)


def test_the_first_version_turns_round_who_says_the_contrary() -> None:
    model = _model(TeacherSettings(weighted=True, contrary=0.05))
    known = _learnt(model).kinds["comparisons"].teachers
    assert known["eve"].weight < -0.5
    assert all(known[name].weight > 0.3 for name in NAMES[:-1])
    assert _tau(model) > _tau_of_who_takes_all_for_alike() + 0.05


def _tau_of_who_takes_all_for_alike() -> float:
    model = _model(TeacherSettings())
    assert not _learnt(model).kinds["comparisons"].teachers
    return _tau(model)


def test_who_says_the_contrary_only_fades_out_where_nobody_is_thought_to() -> None:
    known = _learnt(_model(TeacherSettings(weighted=True))).kinds["comparisons"].teachers
    assert 0 < known["eve"].weight < 0.3


def test_a_model_that_is_upside_down_is_turned_over() -> None:
    model = _model(TeacherSettings(weighted=True, contrary=0.05))
    _learnt(model)
    weights = dict(model.weights())
    model.load({**weights, "weights.0": -weights["weights.0"]})
    assert _tau(model) < -0.9
    for _ in range(3):
        report = model.fit()
    assert report is not None
    known = report.kinds["comparisons"].teachers
    assert known["eve"].weight < 0 < min(known[name].weight for name in NAMES[:-1])
    assert _tau(model) > 0.9
