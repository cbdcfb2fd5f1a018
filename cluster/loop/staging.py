"""What the stages of a run are opened with."""

from cluster.feedback.service import FeedbackLink
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.imitating import Imitating
from cluster.loop.teaching import Teaching
from cluster.stages.company import Company, Rehearsing


def open_stages(config: HITLConfig, teaching: Teaching | None, imitating: Imitating | None) -> Company | None:
    """Open the stages that the settings want; None where they want none, or there is no service to show them."""
    link, settings = config.feedback_link, config.stages
    if not settings.are_open or not isinstance(link, FeedbackLink):
        return None
    predicts = config.reward_model.inputs.tells_actions_apart
    return Company(
        address=link.address,
        token=link.token,
        run=link.run,
        environment=config.environment_config,
        model_config=config.model_config,
        settings=settings,
        acting=config.acting,
        imitation=config.imitation,
        rewards=teaching.board if teaching and predicts else None,
        seeds=[config.seed_for(f"stage {number}") for number in range(settings.count)],
        inputs=config.reward_model.inputs,
        rehearsing=_rehearsing(config, teaching, imitating),
    )


def _rehearsing(
    config: HITLConfig, teaching: Teaching | None, imitating: Imitating | None
) -> Rehearsing | None:
    """Return whom stages play for while nobody watches; None where questions have no clips."""
    if teaching and config.questions.clips:
        asks, publisher = teaching.trainer, teaching.publisher
        steps = config.questions.segment_steps
    elif imitating and imitating.publisher and config.imitation.questions.clips:
        asks, publisher = imitating.reader, imitating.publisher
        steps = config.imitation.questions.segment_steps
    else:
        return None
    return Rehearsing(trainer=asks, publisher=publisher, life=config.life, segment_steps=steps)
