"""HG-DAgger: the person decides.

Source: Kelly et al. 2019, "HG-DAgger: Interactive imitation learning with human experts", arXiv:1810.02890.
"""

from policies.imitation.gates.gate import Moment, SwitchingGate


class HGDAgger(SwitchingGate):
    """Whoever holds the controls acts; only the steps in which the person does are labels.

    `person_acts` is all that it needs; `doubt` at interventions is kept where there is one. A bound on switches keeps
    the person out after it: leave it None where they watch over safety.
    """

    def __init__(self, *, most_switches: int | None = None) -> None:
        """Begin before an episode; the bound is that of `SwitchingGate`."""
        super().__init__(most_switches=most_switches)
        self._doubts: list[float] = []

    @property
    def doubt_threshold(self) -> float | None:
        """Doubt from which on the policy is not safe: the mean at the last quarter of interventions; None before any.

        With I the doubts at the N interventions, the mean of I[floor(0.75 N)], ..., I[N - 1].
        """
        last = self._doubts[3 * len(self._doubts) // 4 :]
        return sum(last) / len(last) if last else None

    def _wants_expert(self, moment: Moment) -> bool:
        return moment.person_acts

    def _switch(self, moment: Moment) -> None:
        if moment.doubt is not None:
            self._doubts.append(moment.doubt)
