import pytest
import torch

from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.learning import device
from cluster.loop.learning.device import choose_device
from cluster.runs.config import EnvironmentConfig, PolicyConfig, RunConfig
from hitl.errors import ConfigError
from policies.descent.timing import seconds_per_step
from policies.networks import ActorCritic
from policies.networks.convolutional import Convolutional
from policies.threads import threads
from tests.policies.objectives.small_policies import DISCRETE, OBSERVATION_SPACE, settings

WITHOUT_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


def _run(**learner: object) -> RunConfig:
    reward = {"sources": {"environment": 1.0, "learned": 0.0}}
    return RunConfig.model_validate({"learner": learner, "reward": reward})


def test_it_is_what_the_run_file_says() -> None:
    assert choose_device(_run(device="cpu"), settings()).name == "cpu"
    # Learners elsewhere may have what this machine lacks.
    assert choose_device(_run(device="cuda", learners=1), settings()).name == "cuda"


@WITHOUT_CUDA
def test_without_cuda_it_is_the_cpu() -> None:
    assert str(choose_device(_run(), settings())) == "cpu: there is no CUDA device here"
    assert HITLConfig.from_run(_run()).num_gpus_per_learner == 0
    with pytest.raises(ConfigError, match="set it to auto or cpu"):
        choose_device(_run(device="cuda"), settings())


@pytest.mark.parametrize("faster", ["cpu", "cuda"])
def test_where_there_is_a_choice_it_is_the_faster_one(faster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which was measured is made up, since a machine has a fixed one; how it is measured is tested below."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        device, "seconds_per_step", lambda *_, device, **__: 0.001 if device.type == faster else 0.004
    )
    chosen = choose_device(_run(), settings(reference_coefficient=0.5))
    assert chosen.name == faster
    assert f"1.00 ms on {faster}" in chosen.because
    assert HITLConfig.from_run(_run()).num_gpus_per_learner == (faster == "cuda")


IMAGES = {"id": "tests.cluster.identities:Identity", "kwargs": {"kind": "image"}}


@pytest.mark.parametrize(("seconds", "chosen"), [((5, 4, 3), "bfloat16"), ((5, 3, 4), "float32")])
def test_convolutions_on_cuda_learn_in_the_faster_precision(
    seconds: tuple[int, int, int], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(network: ActorCritic, *_: object, device: torch.device, **__: object) -> float:
        (encoder,) = {m.in_bfloat16 for m in network.modules() if isinstance(m, Convolutional)}
        return 1e-3 * dict(zip(WAYS, seconds, strict=True))[device.type, encoder]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "seconds_per_step", measured)
    images = _run().model_copy(update={"environment": EnvironmentConfig.model_validate(IMAGES)})
    found = choose_device(images, settings())
    assert (found.name, found.precision) == ("cuda", chosen)
    assert "5.00 ms on cpu in float32" in found.because
    assert HITLConfig.from_run(images).precision == chosen


@pytest.mark.parametrize(("environment", "chosen"), [(IMAGES, "cuda"), ({"id": "CartPole-v1"}, "cpu")])
@pytest.mark.parametrize("why", ["lockstep", "recurrent"])
def test_where_no_clock_decides_convolutions_learn_on_cuda(
    why: str, environment: dict[str, object], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "seconds_per_step", lambda *_, **__: pytest.fail("a clock was looked at"))
    changes = {"lockstep": {"mode": "lockstep"}, "recurrent": {"policy": PolicyConfig(recurrent=8)}}[why]
    own = EnvironmentConfig.model_validate(environment)
    found = choose_device(_run().model_copy(update={"environment": own, **changes}), settings())
    assert (found.name, found.precision) == (chosen, "float32")


@pytest.mark.parametrize(("objective", "rows"), [("ppo_clip", 64), ("a2c", 4096)])
def test_a_step_is_measured_as_it_will_be_taken(
    objective: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its rows, and on one thread."""
    seen = []

    def measured(*_: object, rows: int, **__: object) -> float:
        seen.append((rows, torch.get_num_threads()))
        return 0.001

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "seconds_per_step", measured)
    own = settings(objective=objective, minibatch_size=64)
    with threads(2):
        choose_device(_run(objective=objective), own)
        assert torch.get_num_threads() == 2
    assert seen == [(rows, 1)] * 2


WAYS = [("cpu", False), ("cuda", False), ("cuda", True)]


@WITHOUT_CUDA
def test_the_precision_is_what_the_run_file_says() -> None:
    assert choose_device(_run(precision="bfloat16"), settings()).precision == "bfloat16"
    assert choose_device(_run(), settings()).precision == "float32"


@pytest.mark.parametrize("objective", ["ppo_clip", "ppo_kl", "a2c"])
def test_a_step_is_measured_on_every_objective_and_leaves_the_network_alone(objective: str) -> None:
    network = ActorCritic(OBSERVATION_SPACE, DISCRETE, hidden=(8,))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    own = settings(objective=objective, value_clip=0.2)
    seconds = seconds_per_step(
        network, OBSERVATION_SPACE, own, rows=12, device=torch.device("cpu"), repeats=2
    )
    assert seconds > 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
