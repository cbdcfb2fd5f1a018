"""`handrail train` from its first words to its exit code."""

import socket
from pathlib import Path

import pytest

from cluster.cli.supervision import finish, keeper, launch
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder, read_json, write_json
from cluster.runs.lives import begin_life, is_trained_now
from tests.cluster.command import handrail, refused, run_folder
from tests.cluster.supervised import Scripts


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return run_folder(tmp_path)


@pytest.mark.parametrize(
    ("driver", "goal", "code", "said"),
    [
        ("done", "475", 0, "goal met"),
        ("done", "485", 1, "goal missed"),
        ("leaves no summary", "475", 1, "error: the driver left no summary"),
        ("mistake", "475", 2, "error: environment.id: there is no NoSuch-v0"),
        ("refused", "475", 1, "error: a newer driver has opened this run"),
        ("crashes", "475", 1, "handrail train --resume"),
    ],
)
def test_the_exit_code_says_how_training_ended(
    driver: str,
    goal: str,
    code: int,
    said: str,
    folder: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(keeper, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(finish, "draw_in_child", lambda folder: None)
    monkeypatch.setattr(
        launch,
        "RunCommands",
        lambda config, folder: Scripts(folder.path, driver=driver, service=None, teachers=0),
    )
    assert handrail("train", "--resume", folder.path, "--goal.true_return", goal) == code
    printed = capsys.readouterr()
    assert said in printed.out + printed.err
    assert not is_trained_now(folder)


@pytest.mark.parametrize(
    ("settings", "ways"),
    [
        ("--stages.count=0", [""]),
        ("--stages.count=1", ["", " --stage"]),
        ("--stages.count=1 --reward.questions.budget=0 --reward.questions.initial=0", [" --stage"]),
        (
            "--reward.sources.learned=0 --reward.sources.environment=1 --imitation.weight=1 --stages.driven=true",
            [" --stage"],
        ),
    ],
)
def test_how_to_teach_a_run_is_said(
    settings: str,
    ways: list[str],
    folder: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scripts = Scripts(folder.path, driver="done", teachers=0)
    monkeypatch.setattr(launch, "RunCommands", lambda config, folder: scripts)
    handrail("train", "--resume", folder.path, *settings.split())
    commands = [line[line.find("handrail teach") :] for line in capsys.readouterr().out.splitlines()]
    here = [f"handrail teach --run {folder.handle}{way}" for way in ways]
    elsewhere = f"handrail teach --address 127.0.0.1:4711 --run-id {folder.run_id}{ways[0]}"
    assert [command for command in commands if command.startswith("handrail teach")] == [*here, elsewhere]


@pytest.mark.parametrize("mistake", ["port", "database"])
def test_a_service_that_cannot_start_ends_training_with_what_to_do(
    mistake: str, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        setting, said = {
            "port": (f"--feedback.port={port}", f"port {port} is in use"),
            "database": (f"--feedback.database=sqlite:///{folder.path}/none/x.db", "x.db"),
        }[mistake]
        message = refused(capsys, "train", "--resume", folder.path, setting)
    assert said in message
    assert "Traceback" not in message


def test_a_done_run_ends_with_summary_report_and_goal(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    begin_life(folder, 0.0)
    write_json(folder.summary_file, {"run_id": folder.run_id, "true_return_mean": 480.0, "wall_seconds": 1.0})
    config = RunConfig.model_validate({"goal": {"true_return": 475, "wall_seconds": 10}})
    assert finish.finish(config, folder) is False
    summary = read_json(folder.summary_file)
    assert summary is not None
    assert summary["goal_met"] is False
    assert summary["wall_seconds"] > 1000, "the parent's own measure"
    said = capsys.readouterr().out
    assert all(part in said for part in ("goal missed", "at least 475", "✓", "✗", str(folder.report_file)))
    assert finish.finish(RunConfig(), folder) is True
    assert (read_json(folder.summary_file) or {})["goal_met"] is None
