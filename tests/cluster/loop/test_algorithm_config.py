"""`HITLConfig` for users of RLlib: what has a meaning is taken over, what has none is refused."""

from typing import Any

import pytest

from cluster.loop.algorithm_config import HITLConfig


@pytest.mark.parametrize(
    ("section", "setting", "instead"),
    [
        ("training", {"train_batch_size_per_learner": 4000}, "num_envs_per_env_runner"),
        ("training", {"train_batch_size": 4000}, "num_envs_per_env_runner"),
        ("training", {"shuffle_batch_per_epoch": True}, "every epoch is shuffled"),
        ("training", {"grad_clip_by": "value"}, "by grad_clip"),
        ("training", {"learner_connector": lambda *_: []}, "reward sources"),
        ("env_runners", {"env_to_module_connector": lambda *_: []}, "encoders"),
        ("env_runners", {"module_to_env_connector": lambda *_: []}, "clipped to their Box"),
        ("env_runners", {"batch_mode": "complete_episodes"}, "fixed length"),
        ("env_runners", {"explore": False}, "draw actions"),
        ("env_runners", {"observation_filter": "MeanStdFilter"}, "normalise_observations"),
        ("evaluation", {"evaluation_interval": 1}, "evaluate"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_setting_that_nothing_reads_is_refused(section: str, setting: dict[str, Any], instead: str) -> None:
    config = HITLConfig().environment("CartPole-v1")
    getattr(config, section)(**setting)
    with pytest.raises(ValueError, match=instead) as refused:
        config.validate()
    assert f"{next(iter(setting))} is not read by Handrail" in str(refused.value)


def test_what_is_read_is_accepted() -> None:
    config = (
        HITLConfig()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=2, num_envs_per_env_runner=4, rollout_fragment_length=8)
        .training(lr=1e-3, gamma=1.0, minibatch_size=16, num_epochs=2, grad_clip=1.0)
        .debugging(seed=3)
    )
    config.validate()
