"""A person at the terminal is asked what should be done: what is shown, and that keys become actions."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from cluster.cli.entries import ActionEntry, ChoiceEntry, Wish
from cluster.cli.screens.drawing import Film
from cluster.cli.screens.question_panels import question_panel
from hitl.client.questions import LeasedRelabel
from hitl.client.training import TrainingClient
from hitl.events import Abstention, Choice, Comparison, Relabel, RelabelQuestion, Retraction, Task
from hitl.stages import ActionSpace
from tests.cluster.cli.test_person import BLUE, GREEN, RED, film, teach
from tests.hitl.live import LiveRun, LiveService
from tests.hitl.test_journal import entries_of

FOUR = ActionSpace(choices=(4,), single=True)
MANY = ActionSpace(choices=(12,), single=True)
PAIR = ActionSpace(choices=(2, 3))
BOX = ActionSpace(low=np.array([-1.0, 0.0], np.float32), high=np.array([1.0, 2.0], np.float32))
NUMBER = ActionSpace(low=np.array(-1.0, np.float32), high=np.array(1.0, np.float32))


def typed(entry: ActionEntry | ChoiceEntry, keys: str) -> list[Any]:
    """What comes of keys: lists and numbers for actions."""
    said = [entry.press(key) for key in keys]
    return [
        np.asarray(one).tolist() if isinstance(one, np.ndarray) else one for one in said if one is not None
    ]


@pytest.mark.parametrize(
    ("space", "keys", "said"),
    [
        (FOUR, "3", [3]),
        (FOUR, "0x2", [0, 2]),
        (FOUR, "47-1", [1]),
        (MANY, "11\n", [11]),
        (MANY, "\n1\x7f7\r", [7]),
        (PAIR, "1 2\n", [[1, 2]]),
        (PAIR, "1,2\n0, 0\n", [[1, 2], [0, 0]]),
        (BOX, "-0.5 1e-1\n", [[-0.5, np.float32(0.1).item()]]),
        (BOX, "0.5,2\n", [[0.5, 2.0]]),
        (NUMBER, ".5\n", [0.5]),
        (BOX, "0.s", [Abstention.SKIP]),
        (FOUR, "suqc", [Abstention.SKIP, Wish.TAKE_BACK, Wish.QUIT, Abstention.CANNOT_TELL]),
    ],
)
def test_keys_become_an_action(space: ActionSpace, keys: str, said: list[Any]) -> None:
    assert typed(ActionEntry(space), keys) == said


@pytest.mark.parametrize(
    ("space", "keys"),
    [
        (FOUR, "4"),
        (MANY, "12\n"),
        (MANY, "1.5\n"),
        (MANY, "1 1\n"),
        (PAIR, "1\n"),
        (PAIR, "2 0\n"),
        (BOX, "0 2.5\n"),
        (BOX, "0.5\n"),
        (BOX, "1-1 0\n"),
    ],
)
def test_what_is_no_action_is_explained_and_typed_again(space: ActionSpace, keys: str) -> None:
    entry = ActionEntry(space)
    assert typed(entry, keys) == []
    assert f"send {space}" in entry.words
    assert entry.typed == ""
    entry.press("x")
    assert entry.words == ""


def test_the_end_of_the_input_is_quitting() -> None:
    assert ActionEntry(FOUR).press("") is Wish.QUIT
    assert ChoiceEntry().press("") is Wish.QUIT
    assert typed(ChoiceEntry(), "1u2q") == [Choice.FIRST, Wish.TAKE_BACK, Choice.SECOND, Wish.QUIT]


@pytest.fixture(scope="module")
def cluster(service: LiveService) -> Iterator[TrainingClient]:
    with service.cluster() as client:
        client.register_task(Task(task_id="task", name="Task-v0", fingerprint="{}"))
        yield client


def ask(run: LiveRun, *question_ids: str, space: ActionSpace = FOUR, step: int = 2) -> None:
    run.publish("walk")
    run.cluster.ask(
        run.run,
        [
            RelabelQuestion(
                question_id=name, run_id=run.run_id, segment_id="walk", step=step, action_space=space
            )
            for name in question_ids
        ],
    )


def test_a_person_answers_in_the_terminal(service: LiveService, cluster: TrainingClient) -> None:
    run = LiveRun(cluster.open_run("told", "task"), cluster)
    ask(run, "a", "b", "c", "d")
    run.ask(1)
    ended = teach(service, "told", "3sc71" + "1" + "q")
    assert ended.returncode == 0, ended.stderr
    assert "answered 5; thank you" in ended.stdout
    assert "do 3" in ended.stdout
    assert "outside the action space; send one integer from 0 to 3" in ended.stdout
    events = [entry.event for entry in entries_of(cluster, "told", 5)]
    answers = [event.answer for event in events if isinstance(event, Relabel)]
    assert answers == [3, Abstention.SKIP, Abstention.CANNOT_TELL, 1]
    assert {event.step for event in events if isinstance(event, Relabel)} == {2}
    assert [event.choice for event in events if isinstance(event, Comparison)] == [Choice.FIRST]


def test_numbers_are_typed(service: LiveService, cluster: TrainingClient) -> None:
    run = LiveRun(cluster.open_run("typed", "task"), cluster)
    ask(run, "a", space=BOX)
    ended = teach(service, "typed", "0.5\n9 9\n0.5, 1.5\nq")
    assert "answered 1; thank you" in ended.stdout
    assert ended.stdout.count("floats of shape (2,) from") >= 2
    (entry,) = entries_of(cluster, "typed", 1)
    assert isinstance(entry.event, Relabel)
    np.testing.assert_array_equal(entry.event.answer, np.array([0.5, 1.5], np.float32), strict=True)


def test_the_last_answer_can_be_taken_back_again_and_again(
    service: LiveService, cluster: TrainingClient
) -> None:
    run = LiveRun(cluster.open_run("back", "task"), cluster)
    ask(run, "a", "b")
    run.ask(2)
    ended = teach(service, "back", "u01u1uuq")
    assert ended.returncode == 0, ended.stderr
    assert "answered 0; thank you" in ended.stdout
    assert ended.stdout.count("there is no answer to take back") == 1
    assert ended.stdout.count("the last answer is taken back") == 3
    events = [entry.event for entry in entries_of(cluster, "back", 6)]
    kinds = [type(event) for event in events]
    assert kinds == [Relabel, Relabel, Retraction, Comparison, Retraction, Retraction]
    back = [event.retracted_event_id for event in events if isinstance(event, Retraction)]
    said = [event.event_id for event in events if event is not None and not isinstance(event, Retraction)]
    assert back == [said[1], said[2], said[0]]
    # The question on show when they quit is somebody else's now.
    with service.teacher("bob") as bob:
        assert len(bob.lease("back")) == 1


def shown(question: LeasedRelabel) -> str:
    output = io.StringIO()
    panel = question_panel(question, 3, ActionEntry(question.action_space))
    Console(file=output, width=110).print(panel)
    return output.getvalue()


def test_a_state_is_shown_with_what_led_there_and_no_more(
    service: LiveService, cluster: TrainingClient
) -> None:
    run = LiveRun(cluster.open_run("shown", "task"), cluster)
    ask(run, "q")
    ask(run, "begin", step=0)
    with service.teacher() as teacher:
        leased = {one.question_id: one for one in teacher.lease("shown", max_questions=2)}
    text = shown(leased["q"])
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith("│ ")}
    assert "3. What should be done now? (after 2 steps)" in text
    # Observations 0, 3, 6 and then 9, which nobody should know of yet; actions 0, 1 and then 2, which is the policy's.
    assert "▁▅█" in lines["obs[0]"].replace("▄", "▅")
    assert " 6 " in lines["obs[0]"]
    assert "0 to 6" in lines["obs[0]"]
    assert "▁█ " in lines["action"]
    assert "?" in lines["action"]
    assert "0 to 1" in lines["action"]
    assert "0-3" in text
    assert "after 0 steps" in shown(leased["begin"])


def test_a_film_ends_with_the_state_that_is_asked_about() -> None:
    whole = Film.open(film(RED, GREEN, BLUE).data)
    cut = whole.until(2 / 3, hold_seconds=0.5)
    assert len(cut) == 2

    def colour(seconds: float) -> str:
        return str(cut.draw(seconds, columns=4, rows=2).spans[0].style)[:7]

    expected = {0.0: "#ff0000", 0.09: "#ff0000", 0.11: "#00ff00", 0.69: "#00ff00", 0.71: "#ff0000"}
    assert {seconds: colour(seconds) for seconds in expected} == expected
    assert len(whole.until(1 / 3, hold_seconds=0.5)) == 1
    assert len(whole.until(1.0, hold_seconds=0.5)) == 3


def test_a_film_whose_states_look_alike_ends_in_time() -> None:
    # WebP keeps one frame, for as long as two.
    alike = Film.open(film(RED, RED, GREEN, BLUE).data)
    cut = alike.until(2 / 4, hold_seconds=0.5)
    assert len(cut) == 1
    assert len(alike.until(3 / 4, hold_seconds=0.5)) == 2
