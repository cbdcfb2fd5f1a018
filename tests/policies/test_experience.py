import dataclasses

import numpy as np
import pytest

from policies.experience import Rollout, join
from tests.policies.rollouts import COLUMNS, STEPS, made_up_rollout


def _narrow(columns: int, version: int, source: str) -> Rollout:
    """The first columns of the made-up rollout."""
    whole = made_up_rollout()
    t, n = np.divmod(whole.final_index_K, COLUMNS)
    kept = n < columns
    part = {
        field.name: getattr(whole, field.name)[:, :columns]
        for field in dataclasses.fields(whole)
        if field.name.endswith(("TN", "TNO", "TNA")) and getattr(whole, field.name) is not None
    }
    return dataclasses.replace(
        whole,
        source=source,
        policy_version=version,
        final_index_K=t[kept] * columns + n[kept],
        final_observation_KO=whole.final_observation_KO[kept],
        **part,
    )


def _finals(rollout: Rollout) -> dict[tuple[int, int], list[float]]:
    columns = rollout.terminated_TN.shape[1]
    places = [divmod(int(index), columns) for index in rollout.final_index_K]
    return dict(zip(places, rollout.final_observation_KO.tolist(), strict=True))


def test_columns_stand_side_by_side_in_the_given_order() -> None:
    parts = [_narrow(1, 5, "a"), _narrow(4, 3, "b"), _narrow(2, 4, "c")]
    batch = join(parts)
    assert (batch.source, batch.policy_version, batch.steps) == ("a+b+c", 3, STEPS * 7)
    for field in dataclasses.fields(batch):
        if field.name.endswith(("TN", "TNO", "TNA")) and getattr(batch, field.name) is not None:
            expected = np.concatenate([getattr(part, field.name) for part in parts], axis=1)
            np.testing.assert_array_equal(getattr(batch, field.name), expected, err_msg=field.name)


def test_final_observations_keep_their_step_and_column() -> None:
    parts = [_narrow(1, 0, "a"), _narrow(4, 0, "b"), _narrow(2, 0, "c")]
    expected: dict[tuple[int, int], list[float]] = {}
    for part, first in zip(parts, (0, 1, 5), strict=True):
        expected |= {(t, n + first): value for (t, n), value in _finals(part).items()}
    batch = join(parts)
    assert _finals(batch) == expected
    assert set(expected) == set(zip(*np.nonzero(batch.terminated_TN | batch.truncated_TN), strict=True))


def test_a_part_without_an_episodes_end_can_be_joined() -> None:
    whole = made_up_rollout()
    none = np.zeros_like(whole.terminated_TN)
    endless = dataclasses.replace(
        whole,
        terminated_TN=none,
        truncated_TN=none,
        final_index_K=whole.final_index_K[:0],
        final_observation_KO=whole.final_observation_KO[:0],
    )
    assert list(_finals(join([endless, whole]))) == [(t, n + COLUMNS) for t, n in _finals(whole)]


def test_the_batch_carries_the_environments_reward_only_if_every_part_does() -> None:
    whole, without = made_up_rollout(), made_up_rollout(environment_reward_TN=None)
    assert join([whole, whole]).environment_reward_TN is not None
    assert join([whole, without]).environment_reward_TN is None
    assert join([without, without]).environment_reward_TN is None


def test_one_rollout_is_its_own_batch() -> None:
    rollout = made_up_rollout()
    assert join([rollout]) is rollout


def test_different_numbers_of_steps_are_refused() -> None:
    shorter = made_up_rollout(terminated_TN=np.zeros((STEPS - 1, COLUMNS), bool))
    for parts in ([], [made_up_rollout(), shorter]):
        with pytest.raises(ValueError, match="same number of steps"):
            join(parts)
