"""What guards a run against a reward that is learnt wrongly, in a run file."""

from typing import Annotated, Literal

from pydantic import Field

from cluster.runs.section import NotNegative, Positive, PositiveReal, Section, Share
from hitl.reward.checks.alarms import AlarmSettings


class GuardsConfig(Section):
    """What is done when the policy seems to raise the learned reward and not what people want (docs/guards.md)."""

    on_alarm: Literal["report", "ask", "freeze"] = "report"
    """report: say so and go on. ask: people are asked about the newest behaviour at once, within the budget, and the
    policy learns again from a reward that knows their answers. freeze: the policy stays as it is while rollouts and
    questions go on, until the alarm clears or you say `handrail thaw RUN`."""
    false_alarms: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Chance that the answers of a whole run raise an alarm although the reward model is right about them."""
    disagreement: PositiveReal = 3.0
    """So many times as much disagreement of the ensemble on what the policy does as on what people judged is normal."""
    saturation: Share = 0.02
    """This share of the policy's steps may have clearly more reward than anything that is known: by a tenth of the
    range of the steps that people judged and of the probe set."""
    patience: PositiveReal = 0.05
    """How long disagreement or saturation may be above normal: the sum of the excesses (in octaves, in shares) of
    batches that raises an alarm."""
    questions: Positive = 10
    """ask: asked at once on an alarm."""
    clear_answers: Positive = 20
    """freeze: an alarm clears when the model has foreseen so many newer answers better than a blind guess, and
    disagreement and saturation are at most half of what is normal."""
    earlier_versions: NotNegative = 0
    """Earlier reward versions that are kept: where people's newest answers say that the newest one is worse than one of
    these, it is rolled back, under a new number. 0: never."""

    def alarms(self, *, budget: int) -> AlarmSettings:
        """Return when alarms are raised in a run with so many questions."""
        numbers = {"false_alarms", "disagreement", "saturation", "patience", "clear_answers"}
        return AlarmSettings(answers=max(budget, 1), **self.model_dump(include=numbers))
