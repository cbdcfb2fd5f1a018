"""The live part of a run file: who acts, what teachers watch, and programs that teach in their place."""

from typing import Annotated, Literal

from pydantic import Field

from cluster.runs.section import NotNegative, NotNegativeReal, Positive, PositiveReal, Section, Share
from hitl.policies import ActingKind, ActingSettings
from hitl.stages import MAX_CLIP_BYTES
from hitl.teachers.kinds import KindName
from hitl.teachers.live import Mode


class LiveTeachersConfig(Section):
    """Teachers that are programs in front of stages: they see what happens and react over gRPC as people do."""

    count: NotNegative = 0
    """Processes to start with the run; they share the stages out."""
    judge: str = ""
    """`module:Class` with `opinion(observation, action)` from -1 to 1 (0: none), or with `act(observation)`, an
    expert's action, of which any other is bad."""
    gives: Mode = "signals"
    """signals: plus and minus. corrections: what to do instead. takeover: the controls, for a while, after the policy
    has gone wrong. help: the controls, when the policy asks for help."""
    reaction_shape: PositiveReal = 2.0
    """Of the gamma distribution of reaction times, after the shortest one."""
    reaction_scale_seconds: PositiveReal = 0.28
    """Of the same."""
    reaction_shortest_seconds: NotNegativeReal = 0.2
    """Nobody is faster."""
    signals_per_second: PositiveReal | None = None
    """At most so many; empty: no limit."""
    miss: Share = 0.0
    """Chance to say nothing though there is an opinion."""
    mistake: Share = 0.0
    """Chance to press the other key."""
    tires_after_signals: PositiveReal | None = None
    """Signals after which an opinion is voiced half as often as at first, and so on; empty: never tires."""


class CrowdConfig(Section):
    """Some simulated teachers of one kind."""

    kind: KindName = "oracle"
    """See teachers.kind."""
    count: Positive = 1
    """How many."""


class SimulatedTeachersConfig(Section):
    """Teachers that are programs: they see the true reward and answer over gRPC as people do (docs/teachers.md)."""

    count: NotNegative = 0
    """Processes to start with the run."""
    kind: KindName = "oracle"
    """What they are like: oracle, stochastic, mistake, skip, equal or myopic, the six of B-Pref; alike (errs where both
    segments look the same), adversary (turns every answer round) or lazy (the first one, at once). Keys below that are
    not their default win over the kind."""
    crowd: tuple[CrowdConfig, ...] = ()
    """More of them, of several kinds: [{kind: oracle, count: 4}, {kind: adversary}]. Chances are each teacher's own, so
    it matters who takes a question; in lockstep they take turns, and it repeats."""
    expert: str = ""
    """`module:Class` with `act(observation)`: what they answer where they are asked what to do
    (imitation.questions), and how they demonstrate."""
    goal: str = ""
    """`module:function` that takes an observation and returns whether the state is wanted: what they answer where they
    are asked that (reward.questions.kinds)."""
    goal_reward: float | None = None
    """Without a goal: a state is wanted where the step from it has at least this true reward."""
    demonstrations: NotNegative = 0
    """Episodes that the first of them plays with the expert and sends before it answers."""
    rationality: NotNegativeReal | None = None
    """Beta: they choose the better segment with probability 1 / (1 + exp(-beta * difference)); empty: always."""
    mistake: Share = 0.0
    """Chance to press the wrong key; of a ranking or a rating, to read the scale the wrong way round."""
    tie_threshold: NotNegativeReal = 0.5
    """A difference in return of at most this is a tie."""
    rating_range: tuple[float, float] | None = None
    """True returns of a segment at which the worst rating begins and the best one ends; empty: the lowest and highest
    that each of them has seen so far (not in lockstep)."""
    skip: Share = 0.0
    """Chance to skip a question."""
    answer_seconds: NotNegativeReal = 0.0
    """Mean time to answer."""
    live: LiveTeachersConfig = Field(default_factory=LiveTeachersConfig)

    @property
    def who_answer(self) -> tuple[KindName, ...]:
        """The kind of each who answers questions."""
        crowd = [kind for some in self.crowd for kind in [some.kind] * some.count]
        return (*[self.kind] * self.count, *crowd)

    @property
    def answer_at_once(self) -> bool:
        """Whether there are some who answer without any time to think."""
        return bool(self.who_answer) and not self.answer_seconds


class PicturesConfig(Section):
    """What teachers see of a stage."""

    format: Literal["jpeg", "webp"] = "jpeg"
    """webp makes smaller pictures and takes four times as long."""
    quality: Annotated[int, Field(ge=1, le=100)] = 80
    """Of 100."""
    longest_side: Positive = 640
    """Pixels; bigger pictures are scaled down, which takes ten times as long as encoding them."""
    most_bytes: Positive = 100_000
    """A bigger picture loses quality, and then size."""
    most_clip_bytes: Annotated[int, Field(ge=1, le=MAX_CLIP_BYTES)] = 500_000
    """The same for the animated picture of a segment."""


class StagesConfig(Section):
    """Live environments that the newest policy plays for teachers, as Ray actors of their own."""

    count: NotNegative = 0
    """How many."""
    driven: bool = False
    """Programs outside of the cluster, such as robots and games, may open stages of their own and act as those of the
    cluster do: by the newest policy, reward model or both (docs/live.md)."""
    rate: PositiveReal = 15.0
    """Steps a second, until a teacher chooses another pace."""
    safe_action: int | tuple[float, ...] | None = None
    """What a stage does after a safe stop, until someone resumes; empty: the first option, or what is nearest to 0."""
    unwatched_steps: Positive = 2000
    """Played by each policy version while nobody watches, where questions have clips; an episode is cut there, too."""
    pictures: PicturesConfig = Field(default_factory=PicturesConfig)

    @property
    def are_open(self) -> bool:
        """Whether there is anything to watch."""
        return self.count > 0 or self.driven


class ActingConfig(Section):
    """Who acts, in env runners and on stages."""

    kind: ActingKind = "policy"
    """policy: the network that is trained. reward: the action of which people would say the best (TAMER); there is no
    policy learner. action_biasing, control_sharing: the policy with the reward model's advice (TAMER+RL), Discrete
    actions."""
    weight: NotNegativeReal = 1.0
    """Beta of the mixtures: how much the reward model counts."""
    until_env_steps: Positive | None = None
    """Beta falls linearly to 0 over so many environment steps; empty: it stays."""
    temperature: NotNegativeReal = 0.3
    """reward: actions are drawn in proportion to exp(H / temperature), where H is the reward model's opinion, so that
    others are tried where all known ones are punished. 0: always the best one, as in the TAMER papers."""
    candidates: Positive = 64
    """reward: actions drawn to choose from in each step where there are too many to look at all: of a Box, or of
    several axes with more than 256 combinations."""

    @property
    def settings(self) -> ActingSettings:
        """What is the same over all versions."""
        return ActingSettings(**self.model_dump(include=set(ActingSettings.__dataclass_fields__)))
