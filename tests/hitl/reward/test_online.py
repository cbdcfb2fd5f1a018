import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from hitl.events import Choice
from hitl.reward.evidence.comparisons import ComparisonLikelihood, Comparisons
from hitl.reward.evidence.evidence import Teachers
from hitl.reward.evidence.judgements import Judged, JudgementArrays
from hitl.reward.network.conservatism import Conservatism
from hitl.reward.network.ensemble import Weights
from hitl.reward.online import FitReport, KindReport, OnlineRewardModel
from hitl.reward.rationality import heard
from hitl.reward.settings import FitSettings, TeacherSettings
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
    worth,
)

SETTINGS = FitSettings(learning_rate=0.02, weight_decay=0.0, gradient_steps=15)
PROBE = (np.random.default_rng(0).standard_normal((200, 2), np.float32), np.arange(200) % 3)


def _model(
    *,
    heldout_share: float = 0.0,
    seed: int = 3,
    conservatism: Conservatism | None = None,
    earlier_versions: int = 0,
    **changes: Any,
) -> OnlineRewardModel:
    model = OnlineRewardModel(
        SPACE,
        members=3,
        hidden=(8,),
        settings=dataclasses.replace(SETTINGS, **changes),
        evidence=[comparisons(heldout_share=heldout_share, seed=seed)],
        heldout_share=heldout_share,
        seed=seed,
        conservatism=conservatism,
        earlier_versions=earlier_versions,
    )
    model.set_probe(*PROBE)
    return model


def _answers(model: OnlineRewardModel) -> list[Judged]:
    kind = model.evidence["comparisons"]
    assert isinstance(kind, Comparisons)
    return kind.counted


def _take(model: OnlineRewardModel, journal: list[Any]) -> None:
    for entry, segments in journal:
        model.take(entry, segments)


def _taught(journal: list[Any], **settings: Any) -> tuple[OnlineRewardModel, FitReport | None]:
    model = _model(**settings)
    _take(model, journal)
    return model, model.fit()


def _of_comparisons(report: FitReport | None) -> KindReport:
    assert report is not None
    return report.kinds["comparisons"]


def _same(first: Weights, second: Weights) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def _journal(told: list[Answer]) -> list[Any]:
    return [entry_of(one) for one in told]


def test_a_retraction_takes_an_answer_back() -> None:
    told = answers(12)
    without, _ = _taught(_journal(told[:4] + told[5:]))
    retracted, report = _taught([*_journal(told), retraction_of(told[4])])
    everything, _ = _taught(_journal(told))
    assert _of_comparisons(report).count == 11
    assert _same(retracted.weights(), without.weights())
    assert not _same(retracted.weights(), everything.weights())


def test_a_retraction_counts_before_its_answer_is_read_too() -> None:
    told = answers(12)
    before, _ = _taught([retraction_of(told[4]), *_journal(told)])
    after, _ = _taught([*_journal(told), retraction_of(told[4])])
    assert _same(before.weights(), after.weights())


def test_nobody_takes_back_what_another_teacher_said() -> None:
    told = answers(5)
    model = _model()
    _take(model, [*_journal(told), retraction_of(told[0], teacher_id="somebody else")])
    assert len(_answers(model)) == 5


@pytest.mark.parametrize("choice", [Choice.SKIP, Choice.CANNOT_TELL])
def test_what_a_teacher_does_not_judge_never_trains(choice: Choice) -> None:
    told = answers(12)
    skipped = answer(99, segment("x"), segment("y"), choice)
    model, _ = _taught([*_journal(told), entry_of(skipped)])
    plain, _ = _taught(_journal(told))
    assert len(_answers(model)) == 12
    assert _same(model.weights(), plain.weights())


def test_a_repeat_and_an_unknown_kind_change_nothing() -> None:
    journal = _journal(answers(12))
    unknown = (dataclasses.replace(journal[0][0], event=None), [])
    again, report = _taught([*journal, unknown, *journal])
    once, _ = _taught(journal)
    assert _of_comparisons(report).count == 12
    assert _same(again.weights(), once.weights())


def test_a_model_rebuilt_in_another_order_is_the_same_bit_for_bit() -> None:
    told = answers(12)
    told += [answer(50 + i, told[i].first, told[i].second, Choice.TIE) for i in range(4)]
    journal = [*_journal(told), retraction_of(told[3])]
    shuffled = [journal[i] for i in np.random.default_rng(1).permutation(len(journal))]
    first, _ = _taught(journal)
    second, _ = _taught(shuffled)
    other, _ = _taught(journal, seed=4)
    assert _same(first.weights(), second.weights())
    assert not _same(first.weights(), other.weights())


def test_teachers_are_weighed_in_one_order_whoever_came_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum of three numbers has other bits in another order, and one who goes on meets teachers in another order."""
    names = ("cem", "ann", "bob")
    told = [dataclasses.replace(one, teacher_id=names[i % 3]) for i, one in enumerate(answers(30))]
    seen: list[np.ndarray] = []

    def recording(*given: Any, **named: Any) -> Any:
        seen.append(named["teacher_E"])
        return heard(*given, **named)

    monkeypatch.setattr("hitl.reward.online.heard", recording)
    weighed = []
    for coming in (names, sorted(names), names[::-1]):
        teachers = Teachers()
        for name in coming:
            teachers.number(name)
        model = OnlineRewardModel(
            SPACE,
            members=3,
            hidden=(8,),
            settings=SETTINGS,
            evidence=[Comparisons(ComparisonLikelihood(0.1), teachers, batch=32, heldout_share=0.0, seed=0)],
            heldout_share=0.0,
            seed=3,
            teachers=teachers,
            teacher_settings=TeacherSettings(weighted=True),
        )
        model.set_probe(*PROBE)
        _take(model, _journal(told))
        weighed.append((dict(_of_comparisons(model.fit()).teachers), model.weights()))
    (said, weights), *others = weighed
    assert sorted(said) == sorted(names)
    assert len({one.weight for one in said.values()}) == 3
    assert all(other == said and _same(weights, its) for other, its in others)
    order = [judged.teacher_id for judged in _answers(model)]
    assert all(teacher_E.tolist() == [sorted(names).index(name) for name in order] for teacher_E in seen)


def test_making_a_model_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    _taught(_journal(answers(4)))
    assert torch.equal(torch.get_rng_state(), before)


def test_without_answers_to_learn_from_there_is_nothing_to_fit() -> None:
    assert _model().fit() is None
    assert _taught(_journal(answers(6)), heldout_share=1.0)[1] is None
    assert _taught([entry_of(answer(0, segment("x"), segment("y"), Choice.SKIP))])[1] is None


def test_the_reward_stays_on_the_scale_of_the_probe_set() -> None:
    model = _model()
    told = answers(40)
    for upto in (10, 40):
        _take(model, _journal(told[:upto]))
        report = model.fit()
        assert report is not None
        assert report.accepted
        reward = model.ensemble.member_rewards(*(torch.from_numpy(part) for part in PROBE))
        torch.testing.assert_close(reward.mean(1), torch.zeros(3), atol=1e-4, rtol=0)
        torch.testing.assert_close(reward.std(1), torch.ones(3), atol=1e-4, rtol=0)


def test_a_candidate_that_explains_held_out_answers_worse_is_refused() -> None:
    """First the truth is learnt, then lies about the segments that train; held-out answers stay true."""
    told = answers(80)
    model = _model(heldout_share=0.3, gradient_steps=80)
    _take(model, _journal(told))
    learnt = model.fit()
    assert learnt is not None
    assert learnt.accepted
    before = copy.deepcopy(dict(model.weights()))
    liar = [answer(a.offset + 200, a.first, a.second, _opposite(a)) for a in told]
    heldout = {a.event_id for a, h in zip(told, _judges(told), strict=True) if h}
    _take(model, [retraction_of(a) for a in told if a.event_id not in heldout])
    _take(model, _journal([lie for lie, a in zip(liar, told, strict=True) if a.event_id not in heldout]))
    report = model.fit()
    assert report is not None
    assert not report.accepted
    assert _same(model.weights(), before)
    kept, better = _of_comparisons(report), _of_comparisons(learnt)
    assert kept.heldout_log_loss == pytest.approx(better.heldout_log_loss)


def test_the_first_version_is_never_refused() -> None:
    """Nobody uses one yet: a run that waits for it would wait for ever."""
    told = answers(80)
    judges = _judges(told)
    lies = [
        a if judge else answer(a.offset, a.first, a.second, _opposite(a))
        for a, judge in zip(told, judges, strict=True)
    ]
    refused, kept = (_model(heldout_share=0.3, gradient_steps=80) for _ in range(2))
    for model in (refused, kept):
        _take(model, _journal(lies))
    first, second = refused.fit(), kept.fit(is_first=True)
    assert first is not None
    assert second is not None
    assert not first.accepted
    assert second.accepted


def _opposite(one: Answer) -> Choice:
    return Choice.SECOND if one.choice == Choice.FIRST else Choice.FIRST


def _judges(told: list[Answer]) -> list[bool]:
    return arrays_of(told, heldout_share=0.3).heldout_E.tolist()


def test_a_held_out_answer_judges_and_never_trains() -> None:
    """With one held-out answer nothing is refused, so both fits are kept."""
    told = answers(30)
    judges = _judges(told)
    told = [a for a, judge in zip(told, judges, strict=True) if not judge] + [told[judges.index(True)]]
    lie = answer(told[-1].offset, told[-1].first, told[-1].second, _opposite(told[-1]))
    honest, honest_report = _taught(_journal(told), heldout_share=0.3)
    lied, lied_report = _taught(_journal([*told[:-1], lie]), heldout_share=0.3)
    assert _same(honest.weights(), lied.weights())
    assert {_of_comparisons(r).heldout_accuracy for r in (honest_report, lied_report)} == {0.0, 1.0}


def test_a_model_goes_on_from_loaded_weights() -> None:
    model, _ = _taught(_journal(answers(10)))
    other = _model(seed=8)
    other.load(model.weights())
    assert _same(other.weights(), model.weights())


def test_answers_about_worth_teach_worth() -> None:
    model, report = _taught(_journal(answers(60)), gradient_steps=120)
    accuracy = _of_comparisons(report).train_accuracy
    assert accuracy is not None
    assert accuracy > 0.9
    unseen = [segment(f"unseen-{i}") for i in range(40)]
    with torch.no_grad():
        observation = torch.from_numpy(np.stack([np.asarray(s.observations["obs"]) for s in unseen]))
        action = torch.from_numpy(np.stack([np.asarray(s.actions) for s in unseen]))
        total = model.ensemble.reward(observation, action).sum(-1)
    assert np.corrcoef(total.numpy(), [worth(s) for s in unseen])[0, 1] > 0.7


def test_two_runs_may_use_the_same_ids() -> None:
    mine, other = (
        [answer(i, *[segment(f"{i}/{n}", seed=seed, run_id=run_id) for n in "ab"]) for i in range(8)]
        for seed, run_id in ((1, "mine"), (2, "other"))
    )
    model = _model()
    _take(model, [entry_of(one) for one in [*mine, *other]] + [retraction_of(other[0])])
    counted = _answers(model)
    assert sorted((a.segments[0].address.run_id, a.offset) for a in counted) == sorted(
        (a.run_id, a.offset) for a in [*mine, *other[1:]]
    )
    arrays = JudgementArrays.of(counted, Teachers(), heldout_share=0.0)
    assert len(arrays.segments.observation_SLO) == 2 * len(counted)
    for place, told in enumerate(counted):
        first = arrays.segments.observation_SLO[arrays.segment_EC[place, 0]]
        np.testing.assert_array_equal(first, told.segments[0].observations["obs"])
