"""The folder of a run: made once, found again, written whole, and worked on by one at a time."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.runs import lives
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder, read_json, write_json
from cluster.runs.loading import save_run
from hitl.errors import ConfigError, StorageError

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def new_run(runs_folder: Path, name: str = "run") -> RunFolder:
    folder = RunFolder.create(runs_folder, name, NOON)
    save_run(RunConfig(), folder.run_file)
    return folder


def test_runs_that_start_in_the_same_second_differ(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: RunFolder.create(tmp_path, "run", NOON), range(20)))
    ids = {folder.run_id for folder in folders}
    assert len(ids) == 20
    assert {"run-20260102-120000", "run-20260102-120000-2"} <= ids


@pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden", "a b", "x" * 101])
def test_a_name_that_cannot_be_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="must start with a letter"):
        RunFolder.create(tmp_path, name, NOON)


def test_a_runs_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="--runs_folder"):
        RunFolder.create(tmp_path / "file" / "runs", "run", NOON)


def test_a_run_is_found_by_id_and_by_path(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    assert RunFolder.find(tmp_path, folder.run_id) == folder
    assert RunFolder.find(Path("elsewhere"), str(folder.path)) == folder


def test_an_unknown_run_leads_to_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there are none; start one"):
        RunFolder.find(tmp_path, "run")
    new_run(tmp_path, "cartpole")
    with pytest.raises(ConfigError, match=r"did you mean cartpole-20260102-120000\?"):
        RunFolder.find(tmp_path, "cartpole-20260102-12000")
    with pytest.raises(ConfigError, match="the newest one there is cartpole"):
        RunFolder.find(tmp_path, "zzz")


def test_only_runs_are_listed(tmp_path: Path) -> None:
    first, second = new_run(tmp_path, "b"), new_run(tmp_path, "a")
    os.utime(first.run_file, (1, 1))
    (tmp_path / "notes").mkdir()
    assert RunFolder.list(tmp_path) == [first, second]
    assert RunFolder.list(tmp_path / "nowhere") == []


def test_json_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    assert read_json(path) is None
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    for text in ("{", "[1]"):
        path.write_text(text)
        with pytest.raises(StorageError, match=r"summary.json is damaged"):
            read_json(path)


def test_only_one_trains_a_run(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    assert not lives.is_trained_now(folder)
    program = (
        "import sys, pathlib, time\n"
        "from cluster.runs.folder import RunFolder\n"
        "from cluster.runs.lives import only_trainer\n"
        "with only_trainer(RunFolder(pathlib.Path(sys.argv[1]))):\n"
        "    print('mine', flush=True)\n"
        "    time.sleep(60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", program, folder.path], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        assert lives.is_trained_now(folder)
        with pytest.raises(ConfigError, match=f"by process {other.pid}"), lives.only_trainer(folder):
            pass
    finally:
        other.kill()
        other.communicate()
    assert not lives.is_trained_now(folder)
    with lives.only_trainer(folder):
        pass


def test_wall_seconds_add_up_over_lives(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    lives.begin_life(folder, 1000.0)
    lives.end_life(folder, 1010.0)
    lives.begin_life(folder, 2000.0)
    assert lives.wall_seconds(folder, 2005.0) == 15.0
    assert lives.start_time(folder) == 1000.0


def test_a_life_that_was_killed_ends_with_its_last_row(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    lives.begin_life(folder, 1000.0)
    row = {"time": 1030.0, "wall_seconds": 30.0, "phase": "learning"}
    folder.progress_file.write_text(json.dumps(row) + "\n")
    lives.begin_life(folder, 5000.0)
    assert lives.wall_seconds(folder, 5001.0) == 31.0
