"""The texts say what is: the tree, links, paths, commands, options and examples in them exist."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml
from gymnasium.utils.env_checker import check_env

from cluster.cli.main import main
from cluster.environments.making import check_learnable, make
from cluster.runs.config import RunConfig
from cluster.runs.loading import load_run
from hitl.errors import ConfigError
from policies.settings import ObjectiveName

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"
TEXTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
RINGS = ("policies", "hitl", "cluster")
GENERATED = re.compile(r"_pb2(_grpc)?\.py$")

text_of = pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))


def _blocks(text: str, language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def _tree() -> Iterator[tuple[str, str]]:
    """Yield each line of the README's tree as its path and what it says."""
    block = _blocks((ROOT / "README.md").read_text().partition("## The tree")[2])[0]
    folders: list[str] = []
    for line in block.splitlines():
        name, _, what = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:depth], name]
        yield "".join(folders), what.strip()


def _files() -> set[str]:
    """The modules and protos of the three rings; an `__init__.py` is what its folder's line tells about."""
    paths = [
        path for ring in RINGS for ending in ("py", "proto") for path in (ROOT / ring).rglob(f"*.{ending}")
    ]
    names = {path.relative_to(ROOT).as_posix() for path in paths}
    return {name for name in names if not name.endswith("__init__.py") and not GENERATED.search(name)}


def _said_commands(text: str) -> list[list[str]]:
    """Every `handrail ...` in a text's code, as words; comments beside a command end before two spaces."""
    code = "\n".join([*_blocks(text), *re.findall(r"`([^`\n]+)`", text)])
    lines = re.findall(r"^(?:HANDRAIL_TOKEN=\S+ )?handrail (.*)$", code, re.MULTILINE)
    return [re.split(r"\s{2,}", line)[0].split() for line in lines]


def _help(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with contextlib.suppress(SystemExit):
        main([*command, "--help"])
    return capsys.readouterr().out


def test_the_tree_in_the_readme_is_the_tree() -> None:
    listed = [path for path, _ in _tree()]
    assert len(listed) == len(set(listed))
    assert {path for path in listed if path.endswith((".py", ".proto"))} == _files()
    assert [path for path in listed if path.endswith("/") and not (ROOT / path).is_dir()] == []
    assert [path for path, what in _tree() if not what] == []


@text_of
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", path.read_text())
    assert [link for link in links if ":" not in link and not (path.parent / link).exists()] == []


@text_of
def test_files_that_are_named_exist(path: Path) -> None:
    named = re.findall(
        r"`((?:policies|hitl|cluster|deploy|docs|benchmarks|tests)/[\w./*-]+)`", path.read_text()
    )
    assert [name for name in named if not list(ROOT.glob(name.rstrip("/")))] == []


@text_of
def test_nothing_is_said_about_one_machine(path: Path) -> None:
    assert re.findall(r"(?<![\w.])/(?:home|root|work|Users|tmp|opt|mnt|usr)/\S*", path.read_text()) == []


@text_of
def test_commands_and_their_options_exist(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_help = _help([], capsys)
    commands = set(re.findall(r"^    (\w+) ", main_help, re.MULTILINE))
    for words in _said_commands(path.read_text()):
        assert words[0] in commands | {"--help"}, words
        known = set(re.findall(r"--[\w.-]+", _help(words[:1], capsys)))
        options = {word for word in words if word.startswith("--") and "kwargs." not in word}
        assert options - known - {"--section.key"} == set(), words


@text_of
def test_make_targets_exist(path: Path) -> None:
    known = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = path.read_text()
    said = re.findall(r"`make (\w+)`", text) + re.findall(
        r"^make (\w+)", "\n".join(_blocks(text)), re.MULTILINE
    )
    assert set(said) - known == set()


@text_of
def test_python_in_the_texts_compiles(path: Path) -> None:
    for block in _blocks(path.read_text(), "python"):
        compile(block, str(path), "exec")


def test_every_guide_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    guides = {path.name for path in ROOT.glob("docs/*.md")} - {"index.md"}
    assert {name for name in guides if f"({name})" not in index} == set()


def test_examples_in_the_texts_are_the_files() -> None:
    environments = (ROOT / "docs" / "environments.md").read_text()
    (shown,) = _blocks(environments, "yaml")
    assert yaml.safe_load(shown) == yaml.safe_load((EXAMPLES / "line_walk.yaml").read_text())
    (walker,) = _blocks(environments, "python")
    in_file = (EXAMPLES / "line_walk.py").read_text().splitlines()
    assert [line for line in walker.splitlines() if line not in in_file] == []
    teachers = _blocks((ROOT / "docs" / "teaching.md").read_text(), "python")
    for name, teacher in zip(("prefers_right.py", "shows_right.py"), teachers, strict=True):
        assert (EXAMPLES / name).read_text().endswith("\n\n" + teacher)


def test_the_example_environment_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    config = load_run(EXAMPLES / "line_walk.yaml").environment
    check_env(make(config.model_copy(update={"fixed_horizon": None})), skip_render_check=True)
    env = check_learnable(config, learned_reward=True)
    env.reset(seed=0)
    rewards = [float(env.step(2)[1]) for _ in range(100)]
    assert sum(rewards) > 50
    with pytest.raises(ConfigError, match="can end early"):
        check_learnable(config.model_copy(update={"fixed_horizon": None}), learned_reward=True)


def test_the_script_of_continuous_integration_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


@pytest.mark.parametrize("objective", get_args(ObjectiveName))
def test_every_objective_has_a_page_whose_settings_are_valid(objective: str) -> None:
    (shown,) = _blocks((ROOT / "docs" / "objectives" / f"{objective}.md").read_text(), "yaml")
    whole = {
        "environment": {"id": "CartPole-v1"},
        "reward": {"sources": {"environment": 1.0, "learned": 0.0}},
    }
    run = RunConfig.model_validate(whole | yaml.safe_load(shown))
    assert run.learner.objective == objective
