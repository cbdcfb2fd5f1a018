"""How well the newest pieces of evidence were foreseen, by the version that did not know of them yet.

Held-out answers judge a model on what it is asked about over the whole run; the newest ones judge it on what the policy
does now. Each is judged once, before the first fit that has it, and then trains as any other: nothing is lost by it.

Source: Gama, Sebastiao and Rodrigues 2013, "On evaluating stream learning algorithms", Machine Learning 90, section 4.1
(prequential error over a sliding window).
"""

from collections import deque

import torch
from torch import Tensor

from hitl.reward.evidence.evidence import Examples
from hitl.reward.fitting import Part, judge
from hitl.reward.network.ensemble import RewardEnsemble

WINDOW = 50
"""Of the newest pieces, so many count."""


class Prequential:
    """The judgements of the newest pieces of one kind; what is taken back later stays judged."""

    def __init__(self, window: int = WINDOW) -> None:
        self._log_losses: deque[float] = deque(maxlen=window)
        self._rights: deque[bool | None] = deque(maxlen=window)
        self._learnt: int | None = None
        """Pieces with a lower number of arrival are known to the model; None: nobody can say which."""
        self.newest: tuple[float, ...] = ()
        """Log-losses of what the last call judged, in nats."""

    def judge(self, ensemble: RewardEnsemble, part: Part | None) -> Tensor:
        """Judge what has come since the last call, by the model as it is; a fit must follow.

        A model that no fit has made foresees nothing: what comes before the first one is not judged.

        Args:
            ensemble: the model.
            part: all pieces that count; None where there are none.

        Returns:
            The places of the pieces that were judged, int64.
        """
        rows, self.newest = torch.zeros(0, dtype=torch.int64), ()
        if self._learnt is not None and part is not None:
            rows = part.since(self._learnt)
            found = judge(ensemble, part, rows)
            self.newest = tuple(found.log_loss_E.tolist())
            self._log_losses.extend(self.newest)
            self._rights.extend(
                right if decided else None
                for right, decided in zip(found.right_E.tolist(), found.decided_E.tolist(), strict=True)
            )
        self.has_learnt(part.examples if part else None)
        return rows

    def unseen(self, part: Part | None) -> int | None:
        """Return how many pieces have come since the last fit; None where nobody can say."""
        if part is None:
            return 0
        return None if self._learnt is None else len(part.since(self._learnt))

    def has_learnt(self, examples: Examples | None) -> None:
        """Take note that the model knows these pieces, and none that come later."""
        self._learnt = int(examples.arrival_E.max()) + 1 if examples is not None else 0

    def clear(self) -> None:
        """Begin another window."""
        self._log_losses.clear()
        self._rights.clear()

    def forget(self) -> None:
        """Begin anew, and judge nothing until the next fit: the model that was judged is no more."""
        self.clear()
        self._learnt = None

    def __len__(self) -> int:
        return len(self._log_losses)

    @property
    def log_loss(self) -> float | None:
        """Mean, in nats; None where nothing was judged."""
        return sum(self._log_losses) / len(self._log_losses) if self._log_losses else None

    @property
    def accuracy(self) -> float | None:
        """Share of the decided ones that were foreseen; None where there are none."""
        decided = [right for right in self._rights if right is not None]
        return sum(decided) / len(decided) if decided else None
