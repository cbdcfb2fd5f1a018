"""`handrail compare` from its command to its report: real checkpoints, a real service, and teachers over gRPC."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cluster.cli.main import main
from cluster.comparison.folder import ComparisonFolder
from cluster.comparison.selection import select
from cluster.feedback.service import FeedbackService
from cluster.runs import checkpoints
from cluster.runs.folder import RunFolder, read_json
from cluster.runs.loading import load_run
from hitl.client.questions import LeasedPair
from hitl.client.teaching import TeacherClient
from hitl.events import Choice
from hitl.teachers.program import run_teacher
from hitl.teachers.simulated import SimulatedSettings
from hitl.tokens import load_or_create_secret, mint
from tests.cluster.comparison.runs import train
from tests.cluster.feedback.test_reward_trainer import counts, trainer_of
from tests.cluster.supervised import wait_until
from tests.hitl.live import LiveService, eventually

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, ray_session: str) -> Path:
    """Two runs of one task, of which one has learnt it; and how good each checkpoint is, in this order."""
    folder = tmp_path_factory.mktemp("runs")
    train(folder, "learner", updates=[1, 2, 8], seed=1)
    train(folder, "beginner", updates=[1], seed=1)
    return folder


def command(runs: Path, *words: object) -> list[str]:
    return [
        *(sys.executable, "-m", "cluster.cli.main", "compare"),
        *map(str, words),
        *("--runs-folder", str(runs)),
    ]


def compare(runs: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(runs, *words), capture_output=True, text=True, timeout=400, check=False)


def only_comparison(runs: Path, name: str) -> ComparisonFolder:
    (folder,) = (folder for folder in RunFolder.list(runs) if folder.run_id.startswith(name))
    return ComparisonFolder(folder)


@contextmanager
def comparing(
    runs: Path, *words: object, name: str
) -> Iterator["tuple[subprocess.Popen[str], ComparisonFolder]"]:
    """A comparison while it goes on."""
    process = subprocess.Popen(command(runs, *words, "--name", name), stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: any(runs.glob(f"{name}-*/service.json")), "the service", 180.0)
        yield process, only_comparison(runs, name)
    finally:
        process.kill()
        process.wait()


def teacher(folder: ComparisonFolder) -> TeacherClient:
    run = folder.run
    ready = read_json(run.service_file)
    assert ready is not None
    token = mint(load_or_create_secret(run.secret_file), name="ann", role="oracle", runs=[run.run_id])
    return TeacherClient(ready["address"], token)


def next_question(client: TeacherClient, run_id: str) -> LeasedPair:
    wait_until(lambda: any(run.run_id == run_id for run in client.runs()), "the run", 180.0)
    question = next(iter(client.questions(run_id, wait_seconds=180)))
    assert isinstance(question, LeasedPair)
    return question


def better(question: LeasedPair) -> Choice:
    assert question.true_returns is not None
    first, second = question.true_returns
    return Choice.FIRST if first > second else Choice.SECOND if first < second else Choice.TIE


def test_the_better_policy_wins_and_its_answers_are_feedback(runs: Path) -> None:
    ended = compare(runs, "learner-20260102-000000@all", "--teachers", 2, "--budget", 80, "--name", "wins")
    assert ended.returncode == 0, ended.stderr
    folder = only_comparison(runs, "wins")
    found = read_json(folder.run.summary_file)
    assert found is not None
    best, worst = "learner-20260102-000000@1280", "learner-20260102-000000@160"
    assert (found["ending"], found["condorcet"]["winner"]) == ("known", best)
    assert found["copeland"]["winner"] == found["borda"]["winner"] == best
    assert max(found["copeland"]["probability"]) >= 0.95
    assert found["policies"][0] == worst
    assert 5 <= found["comparisons"] <= 80
    assert np.sum(found["wins"]) == found["comparisons"]
    for said in (
        f"people prefer {best}",
        f"Condorcet winner: {best}",
        "0 skipped",
        str(folder.run.report_file),
    ):
        assert said in ended.stdout
    page = folder.run.report_file.read_text()
    assert f"people prefer {best}" in page
    shown = np.zeros((3, 3), int)
    for line in folder.questions():
        shown[line["first"], line["second"]] += 1
    # Questions that were withdrawn in the end may be one too many.
    assert (abs(shown - shown.T) <= 2).all()
    assert (shown + shown.T)[np.triu_indices(3, 1)].sum() == found["asked"]
    _check_copies(folder)
    _read_by_another_run(folder, found["comparisons"])


def _check_copies(folder: ComparisonFolder) -> None:
    """What is compared is still there when its run has dropped it."""
    for number, policy in enumerate(folder.load_settings().policies):
        mine = folder.policy(number)
        assert [path.name for path in checkpoints.whole(mine.checkpoints)] == [policy.checkpoint]
        assert load_run(mine.run_file).environment == load_run(Path(policy.run) / "run.yaml").environment


def _read_by_another_run(folder: ComparisonFolder, comparisons: int) -> None:
    """A run of the task on the comparison's service learns its reward from the answers."""
    service = LiveService(folder.run.feedback)
    try:
        config = load_run(folder.run.run_file).environment
        link = FeedbackService(
            address=service.address,
            token=service.token("cluster", "driver"),
            name="reader",
            reads_from=[folder.run.run_id],
        ).open_run(config, "1")
        with trainer_of(service, link, reads_from=[folder.run.run_id], environment=config) as state:
            eventually(lambda: counts(state()).get("comparisons", 0) == comparisons, seconds=180.0)
            eventually(lambda: state().newest is not None, seconds=180.0)
    finally:
        service.kill()


def test_stopped_and_gone_on_with_nothing_is_lost_and_teachers_are_blind(runs: Path) -> None:
    words = ("learner-20260102-000000", "beginner-20260102-000000", "--confidence", 0.999, "--open", 2)
    with comparing(runs, *words, "--budget", 40, name="stopped") as (process, folder):
        run_id = folder.run.run_id
        with teacher(folder) as ann:
            questions = []
            for choice in (None, None, Choice.SKIP, Choice.CANNOT_TELL, None):
                question = next_question(ann, run_id)
                questions.append(question)
                receipt = question.answer(choice or better(question))
            ann.retract(run_id, receipt.event_id)
            _check_blind(questions)
            wait_until(
                lambda: (read_json(folder.standings_file) or {}).get("comparisons") == 4, "4 answers", 180.0
            )
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=180)
        assert process.returncode == 130
        assert f"handrail compare --resume {folder.run.handle}" in said
        assert "people prefer" not in said
    before = read_json(folder.standings_file)
    assert before is not None
    assert (before["comparisons"], before["skipped"], before["cannot_tell"]) == (4, 1, 1)
    assert not folder.run.summary_file.exists()

    ended = compare(runs, "--resume", run_id, "--teachers", 1, "--budget", 9, "--confidence", 0.9999)
    assert ended.returncode == 0, ended.stderr
    after = read_json(folder.run.summary_file)
    assert after is not None
    assert (after["ending"], after["comparisons"]) == ("budget", 9)
    assert (after["skipped"], after["cannot_tell"]) == (1, 1)
    assert after["wins"][0][1] + after["wins"][1][0] == 7
    assert after["wins"][0][1] > after["wins"][1][0]
    assert after["env_steps"] > before["asked"] * 2 * 20 - 1
    # Those that nobody had answered are not asked again, and no number is given out twice.
    names = [line["question_id"] for line in folder.questions()]
    assert len(set(names)) == len(names)

    again = compare(runs, "--resume", folder.run.path, "--budget", 9)
    assert again.returncode == 0
    assert read_json(folder.run.summary_file) == after


def _check_blind(questions: list[LeasedPair]) -> None:
    """What reaches a teacher tells nothing of whose a segment is but what was done in it."""
    segments = [segment for question in questions for segment in question.segments]
    assert {(s.policy_version, s.address.source, len(s)) for s in segments} == {(0, "comparison", 5)}
    assert [s.address.episode for s in segments] == list(range(len(segments)))
    assert {q.question.policy_version for q in questions} == {0}
    for question in questions:
        start = [np.asarray(segment.observations["obs"])[0, 0] for segment in question.segments]
        assert start[0] == start[1]
        assert question.first.address.begin == question.second.address.begin
        # Nobody answers but people, so there is something to see.
        assert all(clip is not None for clip in question.clips())
    assert len({question.first.address.begin for question in questions}) > 1
    assert len({float(np.asarray(s.observations["obs"])[0, 0]) for s in segments}) == len(questions)


def test_the_service_may_be_another_one(runs: Path, tmp_path: Path) -> None:
    service = LiveService(tmp_path / "elsewhere")
    environment = os.environ | {"HANDRAIL_TOKEN": service.token("cluster", "driver")}
    words = ("learner-20260102-000000@160", "learner-20260102-000000@1280", "--budget", 6, "--begin", "start")
    whole = ("--steps", "episode", "--schedule", "round_robin", "--no-clips", "--name", "foreign")
    process = subprocess.Popen(
        command(runs, *words, *whole, "--address", service.address),
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    stop = threading.Event()
    try:
        wait_until(lambda: any(runs.glob("foreign-*/run.yaml")), "the comparison", 180.0)
        folder = only_comparison(runs, "foreign")
        answering = threading.Thread(
            target=run_teacher,
            args=(service.address, service.token("oracle", "bob"), folder.run.run_id, SimulatedSettings()),
            kwargs={"stop": stop},
        )
        answering.start()
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        assert f"--address {service.address} --run-id {folder.run.run_id}" in said
        found = read_json(folder.run.summary_file)
        assert found is not None
        assert found["wins"][1][0] == found["comparisons"]
        with service.cluster() as client:
            run = client.get_run(folder.run.run_id)
            assert (run.answered_questions, run.open_questions) == (found["comparisons"], 0)
            (segment,) = client.get_segments(run.run_id, ["comparison/0/0-20"])
            assert len(segment) == 20
    finally:
        stop.set()
        process.kill()
        process.wait()
        answering.join(timeout=30)
        service.kill()


def refused(capsys: pytest.CaptureFixture[str], runs: Path, *words: object) -> str:
    before = len(RunFolder.list(runs))
    assert main(["compare", *map(str, words), "--runs-folder", str(runs)]) == 2
    assert len(RunFolder.list(runs)) == before
    return capsys.readouterr().err.removeprefix("error: ")


def test_what_cannot_be_compared_is_refused_with_what_to_do(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learner, beginner = "learner-20260102-000000", "beginner-20260102-000000"
    for words, message in (
        ((), "name two policies or more"),
        ((learner,), "or all checkpoints of a run, as in `handrail compare RUN@all`"),
        ((learner, f"{learner}@1280"), f"{learner}@1280 is named twice"),
        ((learner, "lerner"), "did you mean learner-20260102-000000?"),
        ((learner, f"{beginner}@7"), f"run {beginner} has no checkpoint 7: there are 160; or write @latest"),
        ((learner, f"{beginner}@newest"), "has no checkpoint newest"),
        ((learner, beginner, "--budget", 0), "--budget is 0, but must be at least 1"),
        ((learner, beginner, "--confidence", 1), "--confidence is 1, but must lie between 0.5 and 1"),
        ((learner, beginner, "--steps", "0"), "--steps is 0; give a number of steps from 1 on, or `episode`"),
        (("--resume", learner), f"{learner} is a run and no comparison"),
        (("--resume", "x", learner), "so name no others"),
        (("--resume", "x", "--steps", 3), "--steps cannot be changed"),
    ):
        assert message in refused(capsys, runs, *words), words


def test_runs_of_other_tasks_and_without_checkpoints_are_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learner = RunFolder.find(runs, "learner-20260102-000000")
    for name, change, message in (
        ("young", {}, "run young has no checkpoint yet; let it train a while"),
        ("longer", {"fixed_horizon": 30}, "environment.fixed_horizon is 30, not 20"),
        ("endless", {"fixed_horizon": None}, "environment.fixed_horizon is empty, not 20"),
        ("other", {"id": "tests.cluster.comparison.track:Hidden"}, "is of another task than learner"),
    ):
        other = RunFolder(tmp_path / name)
        (other.checkpoints / ("000000000160" if change else "none")).mkdir(parents=True)
        config = load_run(learner.run_file).model_dump(mode="json")
        config["environment"] |= change
        other.run_file.write_text(json.dumps(config))
        assert message in refused(capsys, runs, learner.path, other.path)


def test_runs_of_one_id_are_told_apart_by_their_folders(runs: Path, tmp_path: Path) -> None:
    learner = runs / "learner-20260102-000000"
    shutil.copytree(learner, tmp_path / learner.name)
    first, second = select([f"{learner}@160", str(tmp_path / learner.name)], runs)
    assert (first.name, second.name) == (f"{learner.name}@160", f"{learner.name}@1280")
    first, second = select([str(learner), str(tmp_path / learner.name)], runs)
    assert (first.name, second.name) == (f"{learner}@1280", f"{tmp_path / learner.name}@1280")


def test_a_comparison_is_no_run_to_train_or_to_compare(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = only_comparison(runs, "wins").run.run_id
    assert "is a comparison, with no policy of its own" in refused(
        capsys, runs, kept, "learner-20260102-000000"
    )
    assert main(["train", "--resume", kept, "--runs-folder", str(runs)]) == 2
    assert f"handrail compare --resume {kept}" in capsys.readouterr().err.replace(str(runs) + "/", "")
    assert main(["report", kept, "--runs-folder", str(runs)]) == 0
    assert capsys.readouterr().out.strip().endswith("report.html")
    assert main(["runs", "--runs-folder", str(runs)]) == 0
    assert kept in capsys.readouterr().out
