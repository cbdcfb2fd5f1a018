"""Going back to an earlier version of the reward model, when people's newest answers speak for it."""

from collections.abc import Sequence

from torch import Tensor

from hitl.reward.fitting import Part, is_worse, judge
from hitl.reward.network.ensemble import RewardEnsemble, Weights

Fresh = Sequence[tuple[Part, Tensor]]
"""Kinds of evidence, and the places of their pieces that no version has learnt from yet."""


class KeptVersions:
    """The last versions that were accepted, the newest one last."""

    def __init__(self, earlier: int) -> None:
        """Keep so many beside the newest one; 0: there is no going back."""
        self._earlier = earlier
        self.versions: list[Weights] = []

    def keep(self, weights: Weights) -> None:
        """Take note of a version that was accepted."""
        self.versions = [*self.versions, weights][-(self._earlier + 1) :]

    def go_back(self, ensemble: RewardEnsemble, fresh: Fresh) -> bool:
        """Load the best of the earlier versions than which the newest one is worse; returns whether there is one.

        All of them judge the same new pieces, which none has learnt from, by the gate's own paired test.

        Args:
            ensemble: the newest version.
            fresh: what all are judged on.
        """
        if not self._earlier or not any(len(rows) for _, rows in fresh):
            return False
        newest = ensemble.to_arrays()
        current = [judge(ensemble, part, rows) for part, rows in fresh]
        best, least = -1, 0.0
        for place, weights in enumerate(self.versions[:-1]):
            ensemble.load_arrays(weights)
            other = [judge(ensemble, part, rows) for part, rows in fresh]
            loss = sum(float(judged.log_loss_E.sum()) for judged in other)
            if is_worse(current, other) and (best < 0 or loss < least):
                best, least = place, loss
        ensemble.load_arrays(newest if best < 0 else self.versions[best])
        if best >= 0:
            self.versions = self.versions[: best + 1]
        return best >= 0
