"""Corrections as evidence: of all that could be done in a state, this is what people want.

Who says "do this instead", does it with the controls, or answers what should be done, chooses an action by its reward.
Every state in which they do is a piece of evidence of its own.

Source: Jeon, Milli and Dragan 2020, "Reward-rational (implicit) choice", arXiv:2002.04833, section 2: the choice set
are the actions, each grounded in itself.

Axis suffixes: K member, S state, L step of a segment, C action to choose from, F input feature; O and A belong to
observations and actions.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.events import Abstention, Correction, JournalEntry, Relabel, Segment
from hitl.reward.evidence.bootstrap import bootstrap_weights
from hitl.reward.evidence.choices import ChoiceLikelihood
from hitl.reward.evidence.evidence import Teachers
from hitl.reward.evidence.rows import FIRST_ROWS, Observations, block_of, flat_observations, grown
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.tensors import Array
from policies.acting.on_reward import CandidateActions
from policies.splits import generator, is_heldout, number


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionRows:
    """Corrected states, with room for more."""

    observation_SO: Observations
    action_SCA: NDArray[Any]
    """Those to choose from; what people chose comes first."""
    bootstrap_SK: NDArray[np.float32]
    heldout_S: NDArray[np.bool_]
    block_S: NDArray[np.int64]
    teacher_S: NDArray[np.int64]
    counts_S: NDArray[np.bool_]
    """False where retracted."""

    def with_room(self, rows: int) -> "CorrectionRows":
        """Return the same with at least so many rows."""
        room = len(self.counts_S)
        if rows <= room:
            return self
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        room = max(2 * room, rows)
        return CorrectionRows(**{name: grown(x, (room, *x.shape[1:])) for name, x in arrays.items()})


class CorrectionExamples:
    """The rows that count, on the model's device."""

    def __init__(self, rows: CorrectionRows, counted_E: NDArray[np.int64], ensemble: RewardEnsemble) -> None:
        self._rows, self._counted_E, self._ensemble = rows, counted_E, ensemble
        self.heldout_E, self.block_E = rows.heldout_S[counted_E], rows.block_S[counted_E]
        self.teacher_E = rows.teacher_S[counted_E]
        self.arrival_E = counted_E
        self.bootstrap_KE = torch.from_numpy(rows.bootstrap_SK[counted_E].T.copy()).to(
            ensemble.input_mean.device
        )

    def of(self, rows_B: Tensor) -> tuple[Tensor, ...]:
        """Return the inputs [B, C] of the actions to choose from, and which one was chosen [B]: the first."""
        rows, device = self._counted_E[rows_B.cpu().numpy()], self._ensemble.input_mean.device
        observation_BO, action_BCA = (
            torch.from_numpy(array[rows]).to(device)
            for array in (self._rows.observation_SO, self._rows.action_SCA)
        )
        said_B = torch.zeros(len(rows), dtype=torch.int64, device=device)
        return *self._ensemble.inputs(observation_BO[:, None], action_BCA), said_B


class Corrections:
    """The corrections that count, state by state."""

    name = "corrections"

    def __init__(
        self,
        action_space: gym.Space[Any],
        teachers: Teachers,
        *,
        alternatives: int,
        batch: int,
        heldout_share: float,
        members: int,
        seed: int,
    ) -> None:
        """Begin without any.

        Args:
            action_space: of one environment.
            teachers: gives them their numbers.
            alternatives: to each correction where there are too many actions to look at all; see `CandidateActions`.
                They are a function of the event's or the question's id.
            batch: states of a minibatch.
            heldout_share: of the states, which only judge.
            members: of the ensemble.
            seed: of the bootstrap and the alternatives.
        """
        self.likelihood, self.batch = ChoiceLikelihood("corrections", _rewards), batch
        self._space, self._teachers, self._alternatives = action_space, teachers, alternatives
        self._heldout_share, self._members, self._seed = heldout_share, members, seed
        self._rows: CorrectionRows | None = None
        self._rows_of: dict[tuple[str, str, str], slice] = {}
        """Those of each correction; an empty slice: it never counts."""
        self._taken = 0

    def take(self, entry: JournalEntry, segments: Sequence[Segment]) -> None:
        """See `Evidence`."""
        event = entry.event
        if not isinstance(event, Correction | Relabel):
            return
        key = (event.run_id, entry.teacher_id, event.event_id)
        if key not in self._rows_of:
            begin = self._taken
            for segment in segments:
                if isinstance(event, Correction):
                    self._append_correction(event, segment)
                elif not isinstance(event.answer, Abstention):
                    self._append_relabel(event, event.answer, segment)
            if self._rows is not None:
                self._rows.teacher_S[begin : self._taken] = self._teachers.number(entry.teacher_id)
            self._rows_of[key] = slice(begin, self._taken)

    def _append_correction(self, event: Correction, segment: Segment) -> None:
        blocks = [block_of(event, event.frame + step) for step in range(len(segment))]
        name = f"{event.run_id}/{event.event_id}"
        self._append(name, flat_observations(segment), np.asarray(segment.actions), blocks)

    def _append_relabel(self, event: Relabel, action: Array, segment: Segment) -> None:
        here = slice(event.step, event.step + 1)
        name = f"{event.run_id}/{event.question_id}"
        # Held out as for comparisons: by the segment, whoever answers.
        self._append(name, flat_observations(segment)[here], action[None], [segment.segment_id])

    def _append(
        self,
        name: str,
        observation_LO: Observations,
        said_LA: NDArray[Any],
        blocks: Sequence[str],
    ) -> None:
        rng = generator(f"{self._seed}/{name}")
        candidates = CandidateActions(self._space, count=self._alternatives + 1, rng=rng)
        action_LCA = np.stack([_first(said, candidates.draw()) for said in said_LA])
        here = slice(self._taken, self._taken + len(said_LA))
        rows = (self._rows or self._no_rows(observation_LO, action_LCA)).with_room(here.stop)
        rows.observation_SO[here], rows.action_SCA[here] = observation_LO, action_LCA
        # What one takeover says is said together.
        rows.bootstrap_SK[here] = bootstrap_weights([name], members=self._members, seed=self._seed)[:, 0]
        rows.heldout_S[here] = [is_heldout(block, self._heldout_share) for block in blocks]
        rows.block_S[here] = [number(block) for block in blocks]
        rows.counts_S[here] = True
        self._rows, self._taken = rows, here.stop

    def _no_rows(self, observation_LO: Observations, action_LCA: NDArray[Any]) -> CorrectionRows:
        """Return room for states like these."""
        return CorrectionRows(
            observation_SO=np.zeros((FIRST_ROWS, *observation_LO.shape[1:]), observation_LO.dtype),
            action_SCA=np.zeros((FIRST_ROWS, *action_LCA.shape[1:]), action_LCA.dtype),
            bootstrap_SK=np.zeros((FIRST_ROWS, self._members), np.float32),
            heldout_S=np.zeros(FIRST_ROWS, bool),
            block_S=np.zeros(FIRST_ROWS, np.int64),
            teacher_S=np.zeros(FIRST_ROWS, np.int64),
            counts_S=np.zeros(FIRST_ROWS, bool),
        )

    def retract(self, run_id: str, teacher_id: str, event_id: str) -> None:
        """See `Evidence`."""
        rows = self._rows_of.setdefault((run_id, teacher_id, event_id), slice(0, 0))
        if self._rows is not None:
            self._rows.counts_S[rows] = False

    def __len__(self) -> int:
        return int(self._rows.counts_S.sum()) if self._rows else 0

    def examples(self, ensemble: RewardEnsemble) -> CorrectionExamples | None:
        """See `Evidence`; in the order in which they came."""
        if not len(self) or self._rows is None:
            return None
        return CorrectionExamples(self._rows, np.flatnonzero(self._rows.counts_S), ensemble)


def _rewards(ensemble: RewardEnsemble, *inputs: Tensor) -> Tensor:
    reward_KBC: Tensor = ensemble(*inputs)
    return reward_KBC


def _first(said: NDArray[Any], action_CA: NDArray[Any]) -> NDArray[Any]:
    """Return the candidates with what was said in front, in the place of itself if it is one of them."""
    same_C = (action_CA == said).reshape(len(action_CA), -1).all(1)
    chosen = action_CA.copy()
    chosen[same_C.argmax()] = action_CA[0]
    chosen[0] = said
    return chosen
