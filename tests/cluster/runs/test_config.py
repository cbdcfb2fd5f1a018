"""Run files: what is wrong is said in one plain line each, and what is right survives writing and reading."""

from pathlib import Path

import pytest

from cluster.runs.config import RunConfig
from cluster.runs.keys import all_keys, nearest
from cluster.runs.loading import load_run, save_run
from hitl.errors import ConfigError, StorageError

READY_FILES = sorted((Path(__file__).parents[3] / "deploy" / "runs").glob("*.yaml"))


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text("seed: 1\nenvironment: {fixed_horizon: 500}\n")
    return path


def complaint(path: Path, text: str, *overrides: str) -> str:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_run(path, overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learner: {clp: 1}", "learner.clp: unknown key; did you mean learner.clip?"),
        (
            "reward: {questions: {budgett: 2}}",
            "reward.questions.budgett: unknown key; did you mean reward.questions.budget?",
        ),
        ("lapse: 0.1", "lapse: unknown key; did you mean reward.model.lapse?"),
        ("qqqq: 1", "qqqq: unknown key"),
        (
            "reward: {questions: {kinds: {}}}",
            "reward.questions.kinds is {}, but must name something; leave the key out for what it is without",
        ),
        (
            "teachers: {crowd: [{kind:lazy}]}",
            "teachers.crowd[0].kind:lazy: YAML takes 'kind:lazy' for one word; write a space behind the colon, "
            "`kind: lazy`",
        ),
        ("seed: 1.5", "seed is 1.5, but must be a whole number"),
        ("learner: {clip: wide}", "learner.clip is 'wide', but must be a number"),
        ("learner: {clip: -1}", "learner.clip is -1, but must be greater than 0.0"),
        ("learner: {discount: 1.5}", "learner.discount is 1.5, but must be at most 1.0"),
        ("feedback: {port: 70000}", "feedback.port is 70000, but must be at most 65535"),
        ("policy: {activation: gelu}", "policy.activation is 'gelu', but must be 'tanh' or 'relu'"),
        ("policy: {hidden: [64, 0]}", "policy.hidden[1] is 0, but must be greater than 0"),
        ("policy: {hidden: 64}", "policy.hidden is 64, but must be a list, such as [64, 64]"),
        ("name: 5", "name is 5, but must be text; put it in quotes"),
        ("environment: {allow_variable_horizon: maybe}",
         "environment.allow_variable_horizon is 'maybe', but must be true or false"),
        ("goal:", "goal is empty, but must be a section of keys"),
        ("1: 2", "[1] is 1, but must have text as its keys; put them in quotes"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_path_and_what_is_allowed(
    run_file: Path, text: str, message: str
) -> None:
    assert complaint(run_file, text) == message


def test_several_mistakes_get_a_line_each(run_file: Path) -> None:
    text = complaint(run_file, "seed: -1\nlearner: {clp: 1, epochs: many}")
    assert text.splitlines() == [
        f"{run_file} cannot be run:",
        "seed is -1, but must be at least 0",
        "learner.epochs is 'many', but must be a whole number",
        "learner.clp: unknown key; did you mean learner.clip?",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("reward: {sources: {learned: 0}}", "nothing would be learnt"),
        ("learner: {minibatch_size: 999999}", "lower it"),
        ("learner: {objective: trpo, minibatch_size: 999999}", "lower it"),
        ("learner: {objective: reinforce, advantages: gae}", "reinforce weighs by whole returns"),
        ("learner: {objective: ppo_clip, baseline: false}", "ppo_clip has no choice of it"),
        ("learner: {vtrace: {c_bar: 2}}", "learner.vtrace.c_bar is 2.0, above rho_bar (1.0)"),
        ("{learner: {objective: trpo}, policy: {shared: true}}", "set policy.shared to false"),
        ("{learner: {objective: trpo}, policy: {recurrent: 8}}", "set policy.recurrent to null"),
        ("{learner: {reference: {coefficient: 1}}, policy: {recurrent: 8}}", "is no memory for another one"),
        ("{learner: {sequence_steps: 50}, policy: {recurrent: 8}}", "does not divide the 128 steps"),
        ("reward: {questions: {segment_steps: 500}}", "shorten one or lengthen the other"),
        ("reward: {questions: {initial: 101}}", "more than the whole budget"),
        ("reward: {questions: {clips: true}}", "only stages render clips"),
        (
            "{mode: lockstep, reward: {questions: {clips: true}}, stages: {count: 1}}",
            "set mode to overlapped",
        ),
        (
            "{reward: {questions: {clips: true}}, stages: {count: 1, unwatched_steps: 24}}",
            "less than one segment",
        ),
    ],
)
def test_impossible_combinations_come_with_the_reason(run_file: Path, text: str, reason: str) -> None:
    message = complaint(run_file, text)
    assert reason in message
    assert "Value error" not in message
    assert "pydantic" not in message
    assert "\n" not in message


@pytest.mark.parametrize("kind", ["policy", "reward", "action_biasing", "control_sharing"])
def test_whoever_acts_programs_may_drive_stages(run_file: Path, kind: str) -> None:
    run_file.write_text(
        f"{{reward: {{sources: {{learned: 1.0}}}}, acting: {{kind: {kind}}}, stages: {{driven: true}}}}"
    )
    config = load_run(run_file)
    assert config.stages.are_open
    assert (config.acting.settings.kind, config.acting.settings.candidates) == (kind, 64)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty, but must have sections"),
        ("- a", "is a list, but must have sections"),
        ("seed: [1", "is not valid YAML: line 1, column 9"),
        ("seed: 1\nseed: 2", "is not valid YAML: line 2, column 1: the key 'seed' is given twice"),
        ("? [1, 2]\n: 3", "is not valid YAML"),
    ],
)
def test_a_file_that_is_no_run_file(run_file: Path, text: str, message: str) -> None:
    assert message in complaint(run_file, text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no run file .*deploy/runs"):
        load_run(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_run(tmp_path)
    (tmp_path / "picture").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ConfigError, match="is not text"):
        load_run(tmp_path / "picture")


def test_numbers_with_exponents_are_numbers(run_file: Path) -> None:
    run_file.write_text("learner: {learning_rate: 3e-4}\nstop: {env_steps: 1e6}")
    config = load_run(run_file)
    assert (config.learner.learning_rate, config.stop.env_steps) == (3e-4, 1_000_000)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("1", 1),
        ("0.5", (0.5,)),
        ("0.5 -1", (0.5, -1.0)),
        ("[1, 0]", (1.0, 0.0)),
        ("null", None),
        ("None", None),
    ],
)
def test_what_may_be_one_value_or_several_is_what_is_written(
    run_file: Path, words: str, expected: object
) -> None:
    run_file.write_text("stages: {safe_action: 3}")
    safe_action = load_run(run_file, ["--stages.safe_action", *([words] if "[" in words else words.split())])
    assert repr(safe_action.stages.safe_action) == repr(expected)


def test_overrides_win_over_the_file(run_file: Path) -> None:
    text = """
        --seed 3 --policy.hidden 64 32 --stop.env-steps=1e6 --environment.kwargs.gravity 9.8
        --environment.allow_variable_horizon --environment.fixed_horizon null --name 55
        --reward.sources.environment -1.5
    """
    config = load_run(run_file, text.split())
    assert config.seed == 3
    assert config.policy.hidden == (64, 32)
    assert config.stop.env_steps == 1_000_000
    assert config.environment.kwargs == {"gravity": 9.8}
    assert config.environment.allow_variable_horizon is True
    assert config.environment.fixed_horizon is None
    assert config.name == "55"
    assert config.reward.sources.environment == -1.5


def test_lists_and_dictionaries_can_be_written_as_yaml(run_file: Path) -> None:
    overrides = ["--policy.hidden", "[8]", "--environment.kwargs", "{g: 2}", "--goal.true_return=475"]
    config = load_run(run_file, overrides)
    assert (config.policy.hidden, config.environment.kwargs) == ((8,), {"g": 2})
    assert load_run(run_file, ["--policy.hidden", "8"]).policy.hidden == (8,)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("--polcy.hidden 4", "--polcy.hidden: unknown setting; did you mean --policy.hidden?"),
        ("--lapse 1", "--lapse: unknown setting; did you mean --reward.model.lapse?"),
        ("--zzz 1", "--zzz: unknown setting"),
        ("--policy 4", "--policy: this is a section; set a key in it, such as --policy.hidden"),
        ("--seed", "--seed needs a value"),
        ("--policy.hidden", "--policy.hidden needs a value"),
        ("--seed 1 2", "--seed takes one value, but got 2: 1 2"),
        ("x", "'x' belongs to no option; write settings as --section.key value"),
        ("--learner.clip abc", "learner.clip is 'abc', but must be a number"),
        ("--policy.hidden -3", "policy.hidden[0] is -3, but must be greater than 0"),
        ("--environment.fixed_horizon [", "--environment.fixed_horizon: '[' cannot be read as a value"),
    ],
)
def test_a_wrong_override_is_named(run_file: Path, overrides: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_run(run_file, overrides.split())
    assert str(caught.value) == message


@pytest.mark.parametrize("path", READY_FILES, ids=lambda path: path.stem)
def test_ready_files_load_and_survive_saving(path: Path, tmp_path: Path) -> None:
    config = load_run(path)
    save_run(config, tmp_path / "run.yaml")
    assert load_run(tmp_path / "run.yaml") == config


def test_there_are_ready_files() -> None:
    assert {path.stem for path in READY_FILES} >= {
        "cartpole_comparisons",
        "pendulum_comparisons",
        "cartpole_environment_reward",
    }


def test_a_saved_file_with_a_token_is_for_its_owner_only(run_file: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.yaml"
    save_run(load_run(run_file), saved)
    assert saved.stat().st_mode & 0o077
    save_run(load_run(run_file, ["--feedback.token", "secret"]), saved)
    assert not saved.stat().st_mode & 0o077


def test_a_file_that_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        save_run(RunConfig(), tmp_path / "nowhere" / "run.yaml")


def test_every_key_has_a_help_text() -> None:
    assert [path for path, key in all_keys().items() if not key.help and path != "reward"] == []


def test_a_wrong_section_leads_to_the_right_one() -> None:
    assert nearest("learner.segment_steps") == "reward.questions.segment_steps"
    assert nearest("reward.modl.hidden") == "reward.model.hidden"
    assert nearest("polcy.hidden") == "policy.hidden"


@pytest.mark.parametrize("objective", ["a2c", "q_actor_critic", "reinforce"])
def test_an_objective_of_one_step_asks_for_no_minibatches(run_file: Path, objective: str) -> None:
    run_file.write_text(f"learner: {{objective: {objective}, minibatch_size: 999999}}")
    assert load_run(run_file).learner.objective == objective
