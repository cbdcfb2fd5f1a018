"""A person at the terminal ranks, rates and says yes or no: what is shown, and that keys become answers."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from cluster.cli.entries import Entry, GoalEntry, RankingEntry, RatingEntry, Wish, spoken
from cluster.cli.screens.question_panels import clips_across, question_panel
from hitl.client.training import TrainingClient
from hitl.events import Abstention, Task
from tests.cluster.cli.test_person import teach
from tests.hitl.judgements import ask, said
from tests.hitl.live import LiveRun, LiveService
from tests.hitl.test_journal import entries_of


def typed(entry: Entry, keys: str) -> list[Any]:
    return [one for one in map(entry.press, keys) if one is not None]


@pytest.mark.parametrize(
    ("count", "keys", "ranks"),
    [
        (4, "3 1 2=4\n", (2, 3, 1, 3)),
        (4, "312=4\r", (2, 3, 1, 3)),
        (4, "3, 1, 2 = 4\n", (2, 3, 1, 3)),
        (4, "3>1>2=4\n", (2, 3, 1, 3)),
        (4, "1=2=3=4\n", (1, 1, 1, 1)),
        (4, "4 3 2 9\x7f1\n", (4, 3, 2, 1)),
        (2, "21\n", (2, 1)),
        (11, "11 2=10 1 3 4 5 6 7 8 9\n", (3, 2, 4, 5, 6, 7, 8, 9, 10, 2, 1)),
    ],
)
def test_keys_become_an_order(count: int, keys: str, ranks: tuple[int, ...]) -> None:
    assert typed(RankingEntry(count), keys) == [ranks]


@pytest.mark.parametrize(
    "keys",
    [
        "1 2 3\n",
        "1 2 3 3\n",
        "1 2 3 5\n",
        "1 2 3 4 1\n",
        "=1234\n",
        "1234=\n",
        "1==2 3 4\n",
        "0 1 2 3\n",
        " \n",
    ],
)
def test_what_is_no_order_is_explained_and_typed_again(keys: str) -> None:
    entry = RankingEntry(4)
    assert typed(entry, keys) == []
    assert entry.words == f"{keys[:-1]}: name each of 1 to 4 once, the best first, such as 3 4 1=2"
    assert entry.typed == ""
    entry.press("x")
    assert entry.words == ""
    assert typed(entry, "3 4 1=2\n") == [(3, 3, 1, 2)]


def test_keys_become_ratings() -> None:
    assert typed(RatingEntry(7), "1x73") == [1, 7, 3]
    assert typed(RatingEntry(11), "11\n1\n") == [11, 1]
    entry = RatingEntry(5)
    for wrong in "069":
        assert typed(entry, wrong) == []
        assert entry.words == f"{wrong}: give 1, the worst, to 5, the best"
    assert typed(entry, "5") == [5]
    assert entry.words == ""


def test_keys_say_yes_or_no() -> None:
    assert typed(GoalEntry(), "ynx1") == [True, False]


@pytest.mark.parametrize(
    "entry", [RankingEntry(3), RatingEntry(7), GoalEntry()], ids=["ranking", "rating", "goal"]
)
def test_everybody_may_skip_take_back_and_quit(entry: Entry) -> None:
    wanted = [Abstention.SKIP, Abstention.CANNOT_TELL, Wish.TAKE_BACK, Wish.QUIT]
    assert typed(entry, "scuq") == wanted
    assert entry.press("") is Wish.QUIT


def test_answers_are_said_as_people_say_them() -> None:
    words = [spoken(one) for one in ((2, 3, 1, 3), (1, 1), 5, True, False, Abstention.CANNOT_TELL)]
    assert words == ["order 3 1 2=4", "order 1=2", "rated 5", "yes", "no", "cannot tell"]


@pytest.fixture(scope="module")
def cluster(service: LiveService) -> Iterator[TrainingClient]:
    with service.cluster() as client:
        client.register_task(Task(task_id="task", name="Task-v0", fingerprint="{}"))
        yield client


def test_a_person_answers_in_the_terminal(service: LiveService, cluster: TrainingClient) -> None:
    run = LiveRun(cluster.open_run("judged", "task"), cluster)
    ask(run, "ranking", "a", "b", value=1.0)
    ask(run, "rating", "c", "d", value=0.5)
    ask(run, "goal", "e", "f", "g")
    ended = teach(service, "judged", "2 1\n2 1=3\n" + "c" + "64" + "s" + "ync" + "q")
    assert ended.returncode == 0, ended.stderr
    assert "answered 7; thank you" in ended.stdout
    assert "2 1: name each of 1 to 3 once" in ended.stdout
    assert "6: give 1, the worst, to 5, the best" in ended.stdout
    for words in ("In which order? (4 steps each)", "How good is this? (4 steps)", "(after 2 steps)"):
        assert words in ended.stdout
    events = [entry.event for entry in entries_of(cluster, "judged", 7)]
    assert [said(event) for event in events] == [
        (2, 1, 2),
        Abstention.CANNOT_TELL,
        4,
        Abstention.SKIP,
        True,
        False,
        Abstention.CANNOT_TELL,
    ]


def shown(question: Any, entry: Entry, clips: list[Text] | None = None, *, width: int = 110) -> str:
    output = io.StringIO()
    Console(file=output, width=width).print(question_panel(question, 3, entry, clips))
    return output.getvalue()


def test_every_kind_is_shown(service: LiveService, cluster: TrainingClient) -> None:
    run = LiveRun(cluster.open_run("seen", "task"), cluster)
    for kind in ("ranking", "rating", "goal"):
        ask(run, kind, kind)
    with service.teacher(role="oracle") as teacher:
        leased = {one.question_id: one for one in teacher.lease("seen", max_questions=3)}
    text = shown(leased["ranking"], RankingEntry(3))
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith("│ ")}
    assert "3. In which order? (4 steps each)" in text
    # Three like curves on one scale, each in a third of the width.
    assert lines["obs[0]"].count("▁▃▆█") == 3
    assert "0 to 9" in lines["obs[0]"]
    assert "true returns: 4 and 8 and 0" in text
    assert "3 1=2" in text
    text = shown(leased["rating"], RatingEntry(5))
    assert "3. How good is this? (4 steps)" in text
    assert "true return: 8" in text
    assert "▁▃▆█" in text
    text = shown(leased["goal"], GoalEntry())
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith("│ ")}
    assert "3. Is this, in the end, what you want? (after 2 steps)" in text
    assert "true return" not in text
    # Observations 0, 3, 6 and then 9, which is not asked about.
    assert "0 to 6" in lines["obs[0]"]


def test_clips_of_a_ranking_lie_two_by_two(service: LiveService, cluster: TrainingClient) -> None:
    run = LiveRun(cluster.open_run("clips", "task"), cluster)
    ask(run, "ranking", "q")
    ask(run, "rating", "r")
    with service.teacher() as teacher:
        leased = {one.question_id: one for one in teacher.lease("clips", max_questions=2)}
    lines = shown(leased["q"], RankingEntry(3), [Text("AAAA"), Text("BBBB"), Text("CCCC")]).splitlines()
    place = {
        word: next(i for i, line in enumerate(lines) if word in line) for word in ("AAAA", "BBBB", "CCCC")
    }
    assert place["AAAA"] == place["BBBB"] == place["CCCC"] - 2
    assert lines[place["AAAA"] - 1].split()[1:3] == ["1", "2"]
    assert lines[place["CCCC"] - 1].split()[1] == "3"
    assert lines[place["AAAA"]].index("AAAA") == lines[place["CCCC"]].index("CCCC")
    assert "AAAA" in shown(leased["r"], RatingEntry(5), [Text("AAAA")])
    assert [clips_across(count) for count in (1, 2, 3, 4, 5, 9)] == [1, 2, 2, 2, 3, 3]
