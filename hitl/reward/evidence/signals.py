"""Signals as evidence: plus or minus, about steps that a stage showed shortly before.

Axis suffixes: K member, S signal, L step that a signal may be about, F input feature.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.credit import thin
from hitl.events import JournalEntry, Segment, Signal
from hitl.reward.evidence.bootstrap import bootstrap_weights
from hitl.reward.evidence.crediting import Credited, Crediting
from hitl.reward.evidence.evidence import Teachers
from hitl.reward.evidence.rows import FIRST_ROWS, Observations, block_of, grown
from hitl.reward.evidence.shown import Shown
from hitl.reward.likelihoods.signals import signal_log_likelihood
from hitl.reward.network.ensemble import RewardEnsemble
from policies.acting.on_reward import CandidateActions
from policies.splits import generator, is_heldout, number, uniform

_LENGTH_UNIT = 8
"""Rows have a multiple of so many steps, so that their shape seldom changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRows:
    """Signals ready for a batched network: padded with credit 0, and with room for more."""

    alternative_SCA: NDArray[np.generic]
    """Actions that those of the steps are held against; C is 0 where a step is judged by itself."""
    observation_SLO: Observations
    action_SLA: NDArray[np.generic]
    credit_SL: NDArray[np.float32]
    value_S: NDArray[np.float32]
    bootstrap_SK: NDArray[np.float32]
    heldout_S: NDArray[np.bool_]
    block_S: NDArray[np.int64]
    teacher_S: NDArray[np.int64]
    counts_S: NDArray[np.bool_]
    """False where retracted."""

    def with_room(self, *, rows: int, length: int) -> "SignalRows":
        """Return the same with at least so many rows and steps."""
        room, longest = self.credit_SL.shape
        if rows <= room and length <= longest:
            return self
        rows = room if rows <= room else max(2 * room, rows)
        length = longest if length <= longest else -(-length // _LENGTH_UNIT) * _LENGTH_UNIT
        arrays = {}
        for field in dataclasses.fields(self):
            array = getattr(self, field.name)
            wide = field.name in ("observation_SLO", "action_SLA", "credit_SL")
            shape = (rows, length, *array.shape[2:]) if wide else (rows, *array.shape[1:])
            arrays[field.name] = grown(array, shape)
        return SignalRows(**arrays)


class SignalExamples:
    """The rows that count, on the model's device."""

    def __init__(self, rows: SignalRows, counted_E: NDArray[np.int64], ensemble: RewardEnsemble) -> None:
        self._rows, self._counted_E, self._ensemble = rows, counted_E, ensemble
        self.heldout_E, self.block_E = rows.heldout_S[counted_E], rows.block_S[counted_E]
        self.teacher_E = rows.teacher_S[counted_E]
        self.arrival_E = counted_E
        self.bootstrap_KE = torch.from_numpy(rows.bootstrap_SK[counted_E].T.copy()).to(
            ensemble.input_mean.device
        )

    def of(self, rows_B: Tensor) -> tuple[Tensor, ...]:
        """Return inputs of the steps [B, L], with their alternatives [B, L, 1 + C]; the weight of each; and the values.

        Weights of steps are their credit. Alternatives weigh as much together, below 0.
        """
        rows, device = self._counted_E[rows_B.cpu().numpy()], self._ensemble.input_mean.device
        observation_BLO, action_BLA, alternative_BCA, credit_BL, value_B = (
            torch.from_numpy(array[rows]).to(device)
            for array in (
                self._rows.observation_SLO,
                self._rows.action_SLA,
                self._rows.alternative_SCA,
                self._rows.credit_SL,
                self._rows.value_S,
            )
        )
        count = alternative_BCA.shape[1]
        if not count:
            return *self._ensemble.inputs(observation_BLO, action_BLA), credit_BL, value_B
        steps = credit_BL.shape[1]
        others_BLCA = alternative_BCA[:, None].expand(-1, steps, *alternative_BCA.shape[1:])
        action_BLCA = torch.cat([action_BLA[:, :, None], others_BLCA], 2)
        share_C = torch.tensor([1.0, *[-1.0 / count] * count], device=device)
        inputs = self._ensemble.inputs(observation_BLO[:, :, None], action_BLCA)
        return *inputs, credit_BL[..., None] * share_C, value_B


class SignalLikelihood:
    """Normal around a linear function of the credited reward; see `hitl.reward.likelihoods.signals`."""

    has_contrary: ClassVar[bool] = False

    def predict(self, ensemble: RewardEnsemble, *inputs: Tensor) -> Tensor:
        """Return the signal that each member expects, [K, B]."""
        *read, weight_BX = inputs
        link = ensemble.signals
        told_KB = (ensemble(*read) * weight_BX).flatten(2).sum(-1)
        expected_KB: Tensor = link.scale * told_KB + link.offset
        return expected_KB

    def log_likelihood(
        self, ensemble: RewardEnsemble, prediction_KB: Tensor, said_B: Tensor, rationality_B: Tensor
    ) -> Tensor:
        """See `Likelihood`; what is said is a value from -1 to 1."""
        return signal_log_likelihood(
            credited_KS=prediction_KB,
            value_S=said_B,
            scale=1.0,
            offset=0.0,
            noise=ensemble.signals.noise / rationality_B,
        )

    def is_right(self, prediction_B: Tensor, said_B: Tensor) -> tuple[Tensor, Tensor]:
        """See `Likelihood`; 0 has no sign."""
        return (prediction_B > 0) == (said_B > 0), said_B != 0


class Signals:
    """The signals that count, with the steps that they are about."""

    name = "signals"

    def __init__(
        self,
        crediting: Crediting,
        teachers: Teachers,
        *,
        most_steps: int,
        batch: int,
        heldout_share: float,
        members: int,
        seed: int,
        action_space: gym.Space[Any] | None = None,
        alternatives: int = 0,
    ) -> None:
        """Begin without any.

        Args:
            crediting: says which steps each is about.
            teachers: gives them their numbers.
            most_steps: of one signal that are looked at; see `hitl.credit.thin`.
            batch: signals of a minibatch.
            heldout_share: of the signals, which only judge.
            members: of the ensemble.
            seed: of the bootstrap and the alternatives.
            action_space: of one environment, where signals tell how much better an action is than others in its state;
                None: how good a step is in itself.
            alternatives: to the actions of each signal, where there are too many to look at all; see
                `CandidateActions`. They are a function of the event's id.
        """
        self.likelihood, self.batch = SignalLikelihood(), batch
        self.unplaced = 0
        """That are about no step that is known: too early, too late, or their steps are lost."""
        self.crediting, self._teachers = crediting, teachers
        self._most_steps = most_steps
        self._space, self._alternatives = action_space, alternatives
        self._heldout_share, self._members, self._seed = heldout_share, members, seed
        self._rows: SignalRows | None = None
        self._row_of: dict[tuple[str, str, str], int | None] = {}
        """The row of each signal; None: it never counts."""
        self._taken = 0

    def take(self, entry: JournalEntry, segments: Sequence[Segment]) -> None:
        """See `Evidence`."""
        event = entry.event
        if not isinstance(event, Signal):
            return
        key = (event.run_id, entry.teacher_id, event.event_id)
        if key in self._row_of:
            return
        found = self.crediting.take(entry, segments)
        row = self._row_of[key] = self._append(found, event) if found else None
        if row is not None and self._rows is not None:
            self._rows.teacher_S[row] = self._teachers.number(entry.teacher_id)
        self.unplaced += found is None

    def _append(self, found: Credited, signal: Signal) -> int:
        place = uniform(f"{self._seed}/{signal.event_id}")
        chosen, credit = thin(found.credit_L, most=self._most_steps, offset=place)
        row, steps, shown = self._taken, len(chosen), found.shown
        alternative_CA = self._drawn(signal, shown)
        empty = self._rows or _no_rows(shown, alternative_CA, self._members)
        self._rows = empty.with_room(rows=row + 1, length=steps)
        self._rows.alternative_SCA[row] = alternative_CA
        self._rows.observation_SLO[row, :steps] = shown.observation_LO[chosen]
        self._rows.action_SLA[row, :steps] = shown.action_LA[chosen]
        self._rows.credit_SL[row, :steps] = credit
        self._rows.value_S[row] = signal.value
        block = block_of(signal, signal.frame)
        self._rows.heldout_S[row], self._rows.block_S[row] = (
            is_heldout(block, self._heldout_share),
            number(block),
        )
        weights_K1 = bootstrap_weights([signal.event_id], members=self._members, seed=self._seed)
        self._rows.bootstrap_SK[row] = weights_K1[:, 0].numpy()
        self._rows.counts_S[row] = True
        self._taken += 1
        return row

    def _drawn(self, signal: Signal, shown: Shown) -> NDArray[Any]:
        """Return what the actions of a signal's steps are held against, [C, A]."""
        if self._space is None:
            return shown.action_LA[:0]
        rng = generator(f"{self._seed}/{signal.run_id}/{signal.event_id}")
        return CandidateActions(self._space, count=self._alternatives, rng=rng).draw()

    def retract(self, run_id: str, teacher_id: str, event_id: str) -> None:
        """See `Evidence`."""
        row = self._row_of.setdefault((run_id, teacher_id, event_id), None)
        if row is not None and self._rows is not None:
            self._rows.counts_S[row] = False

    def __len__(self) -> int:
        return int(self._rows.counts_S.sum()) if self._rows else 0

    def examples(self, ensemble: RewardEnsemble) -> SignalExamples | None:
        """See `Evidence`; in the order in which they came."""
        if not len(self) or self._rows is None:
            return None
        return SignalExamples(self._rows, np.flatnonzero(self._rows.counts_S), ensemble)


def _no_rows(shown: Shown, alternative_CA: NDArray[Any], members: int) -> SignalRows:
    """Return room for signals about steps like these."""
    rows = FIRST_ROWS
    return SignalRows(
        alternative_SCA=np.zeros((rows, *alternative_CA.shape), shown.action_LA.dtype),
        observation_SLO=np.zeros(
            (rows, _LENGTH_UNIT, shown.observation_LO.shape[1]), shown.observation_LO.dtype
        ),
        action_SLA=np.zeros((rows, _LENGTH_UNIT, *shown.action_LA.shape[1:]), shown.action_LA.dtype),
        credit_SL=np.zeros((rows, _LENGTH_UNIT), np.float32),
        value_S=np.zeros(rows, np.float32),
        bootstrap_SK=np.zeros((rows, members), np.float32),
        heldout_S=np.zeros(rows, bool),
        block_S=np.zeros(rows, np.int64),
        teacher_S=np.zeros(rows, np.int64),
        counts_S=np.zeros(rows, bool),
    )
