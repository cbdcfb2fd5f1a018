"""Several learners against one, over gloo, in processes of their own."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import multiprocessing

from policies.descent.ranks import ALONE, Ranks
from policies.networks import ActorCritic
from policies.threads import use_threads
from tests.policies.objectives.small_policies import settings
from tests.policies.recurrent.recall import UNITS, remembering_rollout
from tests.policies.rollouts import ACTION_SPACE, OBSERVATION_SPACE, made_up_rollout
from tests.policies.updates import make_update

COUNT = 3
RECURRENT = "recurrent"
CASES: dict[str, dict[str, Any]] = {
    # 32 rows: the last minibatch has 2, fewer than there are learners.
    "ppo_clip": {"minibatch_size": 10, "entropy_coefficient": 0.1, "value_clip": 0.2},
    "ppo_kl": {"objective": "ppo_kl", "minibatch_size": 8},
    "a2c": {"objective": "a2c"},
    "trpo": {"objective": "trpo", "minibatch_size": 16},
    # 4 sequences in a minibatch of 2: one learner has none.
    RECURRENT: {"sequence_steps": 8, "minibatch_size": 16, "value_clip": 0.2},
}


def _learnt(case: str, ranks: Ranks) -> NDArray[np.float32]:
    """Three updates; the statistics and weights after them."""
    torch.manual_seed(0)
    memory = {"recurrent": UNITS} if case == RECURRENT else {}
    network = ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(8, 8), **memory)
    update = make_update(network, settings(**CASES[case]), ranks=ranks)
    rollout = remembering_rollout() if memory else made_up_rollout()
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        statistics = update(copy.deepcopy(rollout), generator)
    weights = torch.nn.utils.parameters_to_vector(network.parameters()).detach().numpy()
    return np.concatenate([np.array(list(statistics.values()), np.float32), weights])


def _learner(rank: int, folder: str) -> None:
    use_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=COUNT
    )
    ranks = Ranks.of_process_group()
    flags = ranks.everywhere([True, rank != 1], torch.device("cpu"))
    told = torch.full((2,), float(rank))
    ranks.agree(told)
    results = {case: _learnt(case, ranks) for case in CASES}
    np.savez(f"{folder}/{rank}.npz", flags=flags, told=told.numpy(), **results)
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, NDArray[Any]]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(_learner, (str(folder),), nprocs=COUNT)  # type: ignore[no-untyped-call]
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(COUNT)]


@pytest.mark.parametrize("case", CASES)
def test_learners_together_do_what_one_does(case: str, together: list[dict[str, NDArray[Any]]]) -> None:
    alone = _learnt(case, ALONE)
    for own in together:
        np.testing.assert_array_equal(own[case], together[0][case])
    np.testing.assert_allclose(together[0][case], alone, rtol=2e-4, atol=1e-5)


def test_learners_agree(together: list[dict[str, NDArray[Any]]]) -> None:
    for own in together:
        assert own["flags"].tolist() == [True, False]
        assert own["told"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 10])
def test_each_row_belongs_to_one_learner(rows: int) -> None:
    owned = [list(range(rows))[Ranks(rank, COUNT).rows(rows)] for rank in range(COUNT)]
    assert [row for rows_of_one in owned for row in rows_of_one] == list(range(rows))
