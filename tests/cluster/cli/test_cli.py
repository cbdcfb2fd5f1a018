"""The command `handrail`, as people and scripts call it."""

import argparse
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.cli import teach, train
from cluster.cli.evaluate import interval
from cluster.cli.screens.live_view import LiveView
from cluster.cli.supervision.launch import RunCommands, ServiceAddresses
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder, write_json
from cluster.runs.loading import load_run, save_run
from hitl.errors import ConfigError
from hitl.tokens import load_or_create_secret, verify
from tests.cluster.command import handrail, refused, run_folder
from tests.cluster.supervised import wait_until

COMMANDS = ["train", "teach", "serve", "eval", "compare", "export", "report", "runs", "thaw", "token"]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return run_folder(tmp_path)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        handrail("--help")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(f"\n    {command} " in text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS[1:])
def test_each_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        handrail(command, "--help")
    assert ended.value.code == 0
    assert f"  handrail {command} " in capsys.readouterr().out.replace(f"{command}\n", f"{command} \n")


def test_help_of_train_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert handrail("train", "--help") == 0
    text = capsys.readouterr().out
    for part in ("--learner.clip 0.2", "How far the probability ratio may", "--goal.true_return null"):
        assert part in text
    assert "One of: tanh, relu." in text


def test_help_starts_no_heavy_library() -> None:
    program = (
        "import sys\nfrom cluster.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'pydantic', 'rich', 'grpc', 'jwt', 'matplotlib', 'sqlalchemy'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr == "[]\n"


def test_train_needs_a_file_or_a_run(capsys: pytest.CaptureFixture[str], folder: RunFolder) -> None:
    assert "name a run file" in refused(capsys, "train")
    assert "there is no run file none.yaml" in refused(capsys, "train", "none.yaml")
    assert "leave a.yaml out" in refused(capsys, "train", "a.yaml", "--resume", folder.path)
    assert "there is no run 'nope'" in refused(capsys, "train", "--resume", "nope")


def test_a_wrong_setting_starts_nothing(capsys: pytest.CaptureFixture[str], folder: RunFolder) -> None:
    runs = folder.path.parent
    message = refused(capsys, "train", folder.run_file, "--runs-folder", runs, "--learner.clp", "1")
    assert message == "--learner.clp: unknown setting; did you mean --learner.clip?"
    assert RunFolder.list(runs) == [folder]


def test_settings_of_the_run_are_told_from_options() -> None:
    files = ["train", "a.yaml"]
    words = [*files, "--seed", "3", "--resume", "R", "--policy.hidden", "8", "8", "--runs-folder", "x", "-h"]
    known, settings = train.split_settings(words)
    assert known == ["train", "a.yaml", "--resume", "R", "--runs-folder", "x", "-h"]
    assert settings == ["--seed", "3", "--policy.hidden", "8", "8"]


@pytest.mark.parametrize("setting", ["--policy.hidden 8", "--environment.id X", "--reward.model.members 5"])
def test_what_was_learnt_on_cannot_be_changed_on_resume(
    capsys: pytest.CaptureFixture[str], folder: RunFolder, setting: str
) -> None:
    message = refused(capsys, "train", "--resume", folder.path, *setting.split())
    assert "cannot be changed in a run that goes on" in message
    assert load_run(folder.run_file) == RunConfig()


@pytest.mark.parametrize(
    "command", ["eval", "export", "report", "thaw", "token --name alice --run", "teach --run"]
)
def test_an_unknown_run_is_a_mistake(
    capsys: pytest.CaptureFixture[str], folder: RunFolder, command: str
) -> None:
    words = [*command.split(), "run-20260102-00000", "--runs-folder", folder.path.parent]
    assert "did you mean run-20260102-000000?" in refused(capsys, *words)


def test_a_token_says_who_and_for_which_run(capsys: pytest.CaptureFixture[str], folder: RunFolder) -> None:
    assert handrail("token", "--run", folder.path, "--name", "alice") == 0
    principal = verify(load_or_create_secret(folder.secret_file), capsys.readouterr().out.strip())
    assert (principal.name, principal.role, principal.runs) == ("alice", "teacher", {folder.run_id})
    assert "--days is 0" in refused(capsys, "token", "--run", folder.path, "--name", "a", "--days", "0")


def test_a_token_of_a_service_is_good_for_all_its_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert handrail("token", "--folder", tmp_path, "--name", "gpu1", "--role", "cluster") == 0
    principal = verify(load_or_create_secret(tmp_path / "secret"), capsys.readouterr().out.strip())
    assert (principal.name, principal.role, principal.runs) == ("gpu1", "cluster", None)


def test_runs_are_listed_with_what_became_of_them(
    capsys: pytest.CaptureFixture[str], folder: RunFolder, tmp_path: Path
) -> None:
    done = RunFolder.create(tmp_path / "runs", "done", datetime(2026, 1, 3, tzinfo=UTC))
    save_run(RunConfig(), done.run_file)
    write_json(
        done.summary_file, {"env_steps": 5000, "comparisons": 7, "true_return_mean": 99.5, "goal_met": False}
    )
    damaged = RunFolder.create(tmp_path / "runs", "damaged", datetime(2026, 1, 4, tzinfo=UTC))
    damaged.run_file.write_text("nonsense: 1")
    assert handrail("runs", "--runs-folder", tmp_path / "runs") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "stopped" in lines[folder.run_id]
    assert all(part in lines[done.run_id] for part in ("goal missed", "5,000", "7", "99.5", "CartPole-v1"))
    assert "damaged" in lines[damaged.run_id].removeprefix(damaged.run_id)
    assert handrail("runs", "--runs-folder", tmp_path / "none") == 0
    assert "no runs in" in capsys.readouterr().out


def test_a_report_can_be_made_again(capsys: pytest.CaptureFixture[str], folder: RunFolder) -> None:
    assert handrail("report", folder.path) == 0
    assert capsys.readouterr().out == f"{folder.report_file}\n"
    assert folder.report_file.is_file()


def test_teaching_needs_a_run_and_a_way_in(
    capsys: pytest.CaptureFixture[str], folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HANDRAIL_TOKEN", raising=False)
    assert "name a run" in refused(capsys, "teach")
    assert "HANDRAIL_TOKEN" in refused(capsys, "teach", "--address", "127.0.0.1:1", "--run-id", "x")
    assert "leave --address" in refused(capsys, "teach", "--run", "x", "--address", "127.0.0.1:1")
    assert "has no feedback service now" in refused(capsys, "teach", "--run", folder.path)


def test_a_run_that_joins_a_service_is_taught_there_with_a_token_of_that_service(
    capsys: pytest.CaptureFixture[str], folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig.model_validate({"feedback": {"address": "far:5710"}})
    save_run(config, folder.run_file)
    message = refused(capsys, "token", "--run", folder.path, "--name", "alice")
    assert "joins the service at far:5710" in message
    assert "handrail token --folder FOLDER --name alice --role teacher" in message
    monkeypatch.delenv("HANDRAIL_TOKEN", raising=False)
    assert "made there (`handrail token --folder FOLDER" in refused(capsys, "teach", "--run", folder.path)
    found = teach._local(argparse.Namespace(runs_folder=folder.path.parent, run=folder.run_id), "given")
    assert (found.address, found.token, found.run_id) == ("far:5710", "given", folder.run_id)
    view = LiveView(config, folder.run_id, started=0.0)
    train._introduce(view, config, folder, ServiceAddresses("far:5710"))
    assert "its token  handrail token --folder FOLDER --name NAME" in capsys.readouterr().out


def test_evaluation_checks_its_numbers(capsys: pytest.CaptureFixture[str], folder: RunFolder) -> None:
    assert "--episodes is 0" in refused(capsys, "eval", folder.path, "--episodes", "0")


def test_the_interval_of_a_mean_holds_it_and_narrows() -> None:
    few, many = interval([0.0, 10.0] * 5), interval([0.0, 10.0] * 50)
    assert few[0] < many[0] < 5.0 < many[1] < few[1]
    assert interval([3.0, 3.0]) == (3.0, 3.0)


def test_secrets_are_never_on_a_command_line(folder: RunFolder) -> None:
    config = RunConfig.model_validate(
        {"teachers": {"count": 2, "rationality": 2.0}, "feedback": {"database": "postgresql://me:pass@db/x"}}
    )
    commands = RunCommands(config, folder)
    addresses = ServiceAddresses("127.0.0.1:4711", "127.0.0.1:4712")
    service, driver, teachers = (
        commands.service(None),
        commands.driver(addresses),
        commands.teachers(addresses),
    )
    assert service is not None
    secret = load_or_create_secret(folder.secret_file)
    for command in (service, driver, *teachers):
        line = " ".join(command.arguments)
        assert "pass@" not in line
        assert not any(value in line for value in command.environment.values() if value.startswith("ey"))
    roles = [verify(secret, command.environment["HANDRAIL_TOKEN"]) for command in (driver, *teachers)]
    assert [(who.name, who.role) for who in roles] == [
        ("driver", "cluster"), ("teacher-0", "oracle"), ("teacher-1", "oracle")
    ]  # fmt: skip
    assert all(who.runs == {folder.run_id} for who in roles)
    assert service.environment["HANDRAIL_DATABASE"] == "postgresql://me:pass@db/x"
    assert driver.environment["HANDRAIL_SERVICE"] == "127.0.0.1:4711"


def test_a_service_that_comes_back_keeps_its_ports(folder: RunFolder) -> None:
    again = RunCommands(RunConfig(), folder).service(ServiceAddresses("127.0.0.1:4711", "127.0.0.1:4712"))
    assert again is not None
    words = again.arguments
    assert words[words.index("--port") + 1] == "4711"
    assert words[words.index("--metrics-port") + 1] == "4712"


def test_a_foreign_service_needs_a_token_and_no_teachers_of_ours(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HANDRAIL_TOKEN", raising=False)
    tree = {"feedback": {"address": "far:5710"}, "teachers": {"count": 1}}
    with pytest.raises(ConfigError, match="no token for it"):
        RunCommands(RunConfig.model_validate(tree), folder)
    monkeypatch.setenv("HANDRAIL_TOKEN", "given")
    with pytest.raises(ConfigError, match="leave it out"):
        RunCommands(RunConfig.model_validate(tree), folder)
    commands = RunCommands(RunConfig.model_validate(tree | {"teachers": {"count": 0}}), folder)
    assert commands.service(None) is None
    assert commands.foreign_service == ServiceAddresses("far:5710")
    driver = commands.driver(commands.foreign_service)
    assert driver.environment == {"HANDRAIL_SERVICE": "far:5710", "HANDRAIL_TOKEN": "given"}


def test_a_run_without_people_needs_no_service(folder: RunFolder) -> None:
    config = RunConfig.model_validate({"reward": {"sources": {"environment": 1, "learned": 0}}})
    commands = RunCommands(config, folder)
    assert commands.service(None) is None
    assert commands.teachers(None) == []
    assert commands.driver(None).environment == {}


def test_the_service_serves_and_drains_from_the_command_line(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    words = ["serve", "--folder", tmp_path / "feedback", "--ready-file", ready_file]
    process = subprocess.Popen([sys.executable, "-m", "cluster.cli.main", *words])
    try:
        wait_until(ready_file.exists, "the service is ready")
        ready = json.loads(ready_file.read_text())
        assert ready["pid"] == process.pid
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
