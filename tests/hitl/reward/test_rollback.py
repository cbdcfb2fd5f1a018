"""An earlier version comes back where the newest answers speak for it, and only there."""

from typing import Any

import numpy as np
import pytest

from hitl.events import Choice
from hitl.reward.online import FitReport, OnlineRewardModel
from tests.hitl.reward.comparisons import Answer, answer, answers, entry_of, segment, worth
from tests.hitl.reward.test_online import _model, _same

STEPS = {"gradient_steps": 150, "learning_rate": 0.03}


def _told(first: int, count: int, *, lying: bool = False) -> list[Answer]:
    """Answers about pairs of their own; a liar turns each one round."""
    found = []
    for number in range(first, first + count):
        pair = segment(f"{number}/a"), segment(f"{number}/b")
        is_first = (worth(pair[0]) > worth(pair[1])) != lying
        found.append(answer(number, *pair, Choice.FIRST if is_first else Choice.SECOND))
    return found


def _learnt(model: OnlineRewardModel, told: list[Answer]) -> FitReport:
    for entry, segments in map(entry_of, told):
        model.take(entry, segments)
    report = model.fit()
    assert report is not None
    return report


def _misled(earlier_versions: int) -> tuple[OnlineRewardModel, Any]:
    """A model whose first version was taught the truth, and whose second one by a liar."""
    model = _model(earlier_versions=earlier_versions, **STEPS)
    assert _learnt(model, _told(0, 60)).accepted
    true = model.weights()
    assert _learnt(model, _told(1000, 240, lying=True)).accepted
    return model, true


def test_it_goes_back_to_what_explains_the_newest_answers() -> None:
    model, true = _misled(2)
    restored: list[Any] = []
    going_back = model.kept.go_back

    def watched(*args: Any) -> bool:
        went = going_back(*args)
        restored.append(model.weights())
        return went

    model.kept.go_back = watched  # type: ignore[method-assign]
    report = _learnt(model, _told(200, 40))
    assert report.rolled_back
    assert _same(restored[0], true)
    # And the fit goes on from there.
    assert not _same(model.weights(), true)


def test_without_earlier_versions_there_is_no_going_back() -> None:
    model, _ = _misled(0)
    assert not _learnt(model, _told(200, 40)).rolled_back


def test_the_newest_version_stays_where_the_newest_answers_do_not_speak_against_it() -> None:
    model, _ = _misled(2)
    newest = model.weights()
    report = _learnt(model, _told(200, 40, lying=True))
    assert not report.rolled_back
    assert any(_same(newest, kept) for kept in model.kept.versions)


@pytest.mark.parametrize("count", [1, 3])
def test_few_answers_that_might_be_chance_do_not_suffice(count: int) -> None:
    model, _ = _misled(2)
    assert not _learnt(model, _told(200, 1)).rolled_back
    lucky = _told(300, count) + _told(400, count, lying=True)
    assert not _learnt(model, lucky).rolled_back


def test_what_a_version_was_taught_does_not_judge_it() -> None:
    """No answer is new: the one that came last has been learnt already."""
    model, _ = _misled(2)
    report = model.fit()
    assert report is not None
    assert not report.rolled_back
    assert report.kinds["comparisons"].newest_log_losses == ()


def test_so_many_are_kept_as_asked_for_and_those_it_went_back_over_are_gone() -> None:
    model = _model(earlier_versions=2)
    for number in range(5):
        assert _learnt(model, answers(6 + number)[-1:]).accepted
    assert len(model.kept.versions) == 3
    assert _same(model.kept.versions[-1], model.weights())
    misled, true = _misled(2)
    assert _learnt(misled, _told(200, 40)).accepted
    assert len(misled.kept.versions) == 2
    assert _same(misled.kept.versions[0], true)


def test_a_loaded_version_is_the_only_one_that_is_kept() -> None:
    model, true = _misled(2)
    model.load(true)
    assert len(model.kept.versions) == 1
    assert np.array_equal(model.kept.versions[0]["gauge_mean_K"], true["gauge_mean_K"])
