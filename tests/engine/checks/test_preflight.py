"""The pre-flight of configs: sound ones pass, broken ones fail and are told what is wrong, and nothing stays of it."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sgdb_engine.checks.preflight import STAGES
from sgdb_engine.ending import End
from sgdb_engine.orders import engine_for
from sgdb_engine.session import Engine
from sgdb_engine.summary import verdict_of
from sgdb_engine.target import Mode, resolve
from sgdb_engine.workload import Workload, build
from tests.engine.checks.conftest import CLASSES, MLP, NUMBERS, Checked, check_of, fails, found, stages

SAMPLES = Path(__file__).parents[3] / "sample_configs"
NOT_SANE = ("broken", "digits_random_labels", "cifar10")
"""Faulty on purpose, without anything to learn, and without its files."""
SANE = sorted(path for path in SAMPLES.glob("*.toml") if not path.name.startswith(NOT_SANE))

TWO_LAYERS = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear({inputs}, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.head = nn.Linear(64, {outputs})
        {more}
    def forward(self, x):
        return {output}
"""
FINE = "self.head(self.body(x))"


def net(output: str = FINE, more: str = "pass", inputs: int = 13, outputs: int = 3) -> str:
    return TWO_LAYERS.format(output=output, more=more, inputs=inputs, outputs=outputs)


def assert_sound(engine: Engine) -> None:
    """Nothing is wrong with it, and it was looked at."""
    assert found(engine) == {}
    assert not fails(engine)
    assert {name: s.status for name, s in stages(engine).items() if s.status in ("fail", "warn")} == {}
    assert stages(engine)["overfit-one-batch"].status == "pass"


# -- sane set-ups pass ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("path", SANE, ids=lambda path: path.stem)
def test_every_sane_sample_passes(path: Path, tmp_path: Path) -> None:
    engine = check_of(path, tmp_path / "recorded")
    assert engine.end is not None
    assert found(engine) == {}
    assert verdict_of(engine.end, engine.checks, engine.findings) == "pass", [
        (s.name, s.reason) for s in engine.checks if s.status not in ("pass", "skipped")
    ]


def test_a_sane_model_passes_every_stage_in_their_order(checked: Checked) -> None:
    engine = checked(model=net())
    assert_sound(engine)
    assert [stage.name for stage in engine.checks] == list(STAGES)
    assert {name for name, stage in stages(engine).items() if stage.status != "pass"} <= {"zero-input"}
    assert "near zero" in stages(engine)["overfit-one-batch"].reason
    evidence = stages(engine)["overfit-one-batch"].evidence
    assert int(evidence["steps"]) < 300, "it ends as soon as the loss is near zero"
    assert float(evidence["end"]) < 0.02 * float(evidence["start"])


@pytest.mark.slow
def test_a_frozen_backbone_with_a_trainable_head_passes(checked: Checked) -> None:
    assert_sound(checked(model=net(more="self.body.requires_grad_(False)")))


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        "self.unused = nn.Parameter(torch.ones(3))",
        "self.later = nn.Linear(64, 5)",
        "self.unused = nn.Parameter(torch.ones(3)); self.place = self.unused.device, self.unused.shape",
    ],
)
def test_an_unused_parameter_does_not_fail_the_check(checked: Checked, more: str) -> None:
    assert_sound(checked(model=net(more=more)))


@pytest.mark.slow
def test_asking_an_unused_parameter_for_its_device_is_not_using_it(checked: Checked) -> None:
    output = "self.head(self.body(x.to(self.marker.device)))"
    assert_sound(checked(model=net(output, more="self.marker = nn.Parameter(torch.ones(0))")))


@pytest.mark.slow
@pytest.mark.parametrize(
    "schedule",
    [
        ["schedule.name=cosine", "schedule.warmup_steps=100000"],
        ["schedule.name=step", "schedule.every=1", "schedule.factor=0.1"],
        ["schedule.name=cosine", "train.epochs=20"],
    ],
    ids=["warm-up for ever", "down at once", "cosine"],
)
def test_on_one_batch_a_schedule_does_not_change_the_verdict_the_rate_is_held(
    checked: Checked, schedule: list[str]
) -> None:
    assert stages(checked(*schedule))["overfit-one-batch"].status == "pass"


@pytest.mark.slow
def test_what_passes_is_not_told_to_need_more_steps(checked: Checked) -> None:
    one = stages(checked("check.overfit.steps=6"))["overfit-one-batch"]
    assert one.status == "pass"
    assert "too few steps" not in one.reason


@pytest.mark.slow
@pytest.mark.parametrize("text", [CLASSES, NUMBERS], ids=["classes", "numbers"])
def test_dropout_is_left_on_and_no_obstacle(checked: Checked, text: str) -> None:
    engine = checked("model.dropout=0.3", text=text)
    assert stages(engine)["overfit-one-batch"].status == "pass"
    assert found(engine, ("error",)) == {}


@pytest.mark.slow
def test_a_curve_that_is_looked_at_twice_is_not_seen_twice(checked: Checked) -> None:
    told = {f.code: f.state for f in checked("model.dropout=0.3").findings}
    assert told.get("overfit") != "confirmed"


@pytest.mark.slow
def test_the_batch_is_held_still_even_where_the_data_are_drawn_anew_each_time(
    checked: Checked, tmp_path: Path
) -> None:
    (tmp_path / "augmented.py").write_text(
        "import torch\n"
        "class Noisy(torch.utils.data.Dataset):\n"
        "    classes = list('abc')\n"
        "    def __len__(self): return 90\n"
        "    def __getitem__(self, index): return torch.randn(13), index % 3\n"
        "def make(): return Noisy(), None\n"
    )
    engine = checked(text=CLASSES.replace('name = "wine"', 'use = "augmented:make"'), model=net())
    assert stages(engine)["overfit-one-batch"].status == "pass"
    assert stages(engine)["rescue"].status == "pass"


@pytest.mark.slow
def test_a_relu_at_the_output_passes_where_all_targets_are_positive(checked: Checked, tmp_path: Path) -> None:
    (tmp_path / "counts.py").write_text(
        "import torch\n"
        "def make():\n"
        "    x = torch.randn(320, 10, generator=torch.Generator().manual_seed(1))\n"
        "    return torch.utils.data.TensorDataset(x, x[:, :1].abs()), None\n"
    )
    text = NUMBERS.replace('name = "diabetes"', 'use = "counts:make"')
    engine = checked(text=text, model=net(f"torch.relu({FINE} + 1)", inputs=10, outputs=1))
    assert "output-act" not in found(engine)
    assert stages(engine)["overfit-one-batch"].status == "pass"


@pytest.mark.slow
def test_a_short_run_is_checked_as_thoroughly_as_a_long_one(checked: Checked) -> None:
    engine = checked("train.epochs=1", "optimizer.lr=0.001")
    assert {stages(engine)[name].status for name in ("overfit-one-batch", "rescue", "lr-range")} == {"pass"}


# -- broken set-ups fail --------------------------------------------------------------------------------

BELOW = ["body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias"]


@pytest.mark.parametrize(
    "cut",
    [
        "self.body(x).detach()",
        *(
            pytest.param(cut, marks=pytest.mark.slow)
            for cut in ("self.body(x).data", "torch.tensor(self.body(x).tolist())", "self.blind(x)")
        ),
    ],
)
def test_layers_cut_off_below_the_head_fail_the_check(checked: Checked, cut: str) -> None:
    more = "pass\n    @torch.no_grad()\n    def blind(self, x):\n        return self.body(x)"
    engine = checked(model=net(f"self.head({cut})", more=more))
    assert fails(engine)
    finding = found(engine)["no-grad-param"]
    assert all(name in finding.message for name in BELOW)
    assert "head" not in finding.message
    assert finding.where == ("body.0", "body.2")
    assert stages(engine)["wiring"].status == "fail"
    assert {stage.status for stage in engine.checks[3:]} == {"skipped"}, "it would be told over and over"


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["nn.LSTM(13, 8, batch_first=True)", "nn.GRU(13, 8, batch_first=True)"])
def test_a_recurrent_layer_that_is_cut_off_is_seen_too(checked: Checked, layer: str) -> None:
    output = "self.tail(self.recurrent(x[:, None])[0][:, -1].detach())"
    engine = checked(
        model=net(
            output, more=f"self.recurrent = {layer}; self.tail = nn.Linear(8, 3); del self.body, self.head"
        )
    )
    assert fails(engine)
    assert "recurrent.weight_ih_l0" in found(engine)["no-grad-param"].message


def test_a_loss_that_is_cut_off_from_all_parameters_fails(checked: Checked) -> None:
    engine = checked(model=net(f"{FINE}.detach()"))
    assert engine.end is not None
    assert engine.end.exit_code == 1
    assert "does not depend on any trainable parameter" in found(engine)["nothing-trains"].message


def test_frozen_parameters_alone_fail(checked: Checked) -> None:
    engine = checked(model=net(more="self.requires_grad_(False)"))
    assert engine.end is not None
    assert engine.end.exit_code == 1
    assert "All 6 parameters of the model are frozen" in found(engine)["nothing-trains"].message


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_learning_rate_of_zero_fails_and_is_named(checked: Checked, optimizer: str) -> None:
    engine = checked("optimizer.lr=0", f"optimizer.name={optimizer}")
    assert fails(engine)
    assert "The learning rate 0 is too low" in found(engine)["lr-low"].message
    assert stages(engine)["rescue"].status == "pass"


@pytest.mark.slow
def test_a_learning_rate_of_zero_is_the_only_cause_that_is_told(checked: Checked) -> None:
    told = found(checked("optimizer.lr=0"))
    assert [code for code, finding in told.items() if not finding.cause] == ["lr-low"]


@pytest.mark.parametrize(
    ("end", "word"),
    [
        ("torch.relu({})", "a ReLU"),
        *(
            pytest.param(end, word, marks=pytest.mark.slow)
            for end, word in (
                ("nn.functional.softplus({})", "softplus"),
                ("torch.sigmoid({})", "a sigmoid"),
                ("torch.tanh({})[:, :]", "a tanh"),
                ("torch.relu({}).reshape(-1, 1).clone()", "a ReLU"),
            )
        ),
    ],
)
def test_an_output_that_cannot_reach_the_targets_fails(checked: Checked, end: str, word: str) -> None:
    engine = checked(text=NUMBERS, model=net(end.format(FINE), inputs=10, outputs=1))
    assert fails(engine)
    assert word in found(engine)["output-act"].message


@pytest.mark.parametrize("lr", [0.01, pytest.param(0.1, marks=pytest.mark.slow)])
def test_softmax_before_cross_entropy_fails_and_is_named(checked: Checked, lr: float) -> None:
    engine = checked(f"optimizer.lr={lr}", model=net(f"{FINE}.softmax(-1)"))
    assert fails(engine)
    assert list(found(engine)) == ["softmax-before-ce"]


@pytest.mark.slow
def test_inputs_that_are_all_equal_fail(checked: Checked, tmp_path: Path) -> None:
    (tmp_path / "grey.py").write_text(
        "import torch\n"
        "class Grey(torch.utils.data.Dataset):\n"
        "    classes = list('abc')\n"
        "    def __len__(self): return 320\n"
        "    def __getitem__(self, index): return torch.ones(13), index % 3\n"
        "def make(): return Grey(), None\n"
    )
    engine = checked(text=CLASSES.replace('name = "wine"', 'use = "grey:make"'))
    assert fails(engine)
    assert any("do not tell the targets apart" in stage.reason for stage in engine.checks)


def test_missing_values_are_named_and_nothing_else_is_blamed(checked: Checked, tmp_path: Path) -> None:
    rows = [f"{i % 3},{'' if i == 7 else i / 100},{i % 3}" for i in range(100)]
    (tmp_path / "gaps.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    data = 'data={name = "csv", path = "gaps.csv", target = "y", validation = 0}'
    engine = checked(data, "train.batch_size=10", text=CLASSES)
    assert fails(engine)
    finding = found(engine)["input-nonfinite"]
    assert "1 value of the model's input is NaN or infinite, in feature 1 (from 0)" in finding.message
    assert finding.where == ("feature 1",)
    assert stages(engine)["data"].status == "fail"
    others = [f for f in found(engine).values() if f.code != "input-nonfinite"]
    assert all(f.cause == "input-nonfinite" for f in others), others


# -- the samples that are broken on purpose ---------------------------------------------------------------


@pytest.mark.slow
def test_inputs_that_are_not_normalised_are_named_with_their_range(tmp_path: Path) -> None:
    engine = check_of(SAMPLES / "broken_inputs_not_normalised.toml", tmp_path / "recorded")
    assert fails(engine)
    assert "from 0 to 255" in found(engine)["input-scale"].message


@pytest.mark.slow
def test_a_learning_rate_that_is_too_high_is_named(tmp_path: Path) -> None:
    engine = check_of(SAMPLES / "broken_lr_too_high.toml", tmp_path / "recorded")
    assert fails(engine)
    assert list(found(engine)) == ["lr-high"]
    assert "The learning rate 1 is too high" in found(engine)["lr-high"].message


@pytest.mark.slow
@pytest.mark.parametrize(
    "mended", ["broken_inputs_not_normalised data.normalise=true", "broken_lr_too_high optimizer.lr=0.001"]
)
def test_the_broken_samples_pass_once_they_are_mended_as_their_comments_say(
    mended: str, tmp_path: Path
) -> None:
    name, setting = mended.split()
    assert_sound(check_of(SAMPLES / f"{name}.toml", tmp_path / "recorded", setting))


# -- budgets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "budget",
    ["check.overfit.steps=3", pytest.param("check.overfit.seconds=0.000001", marks=pytest.mark.slow)],
)
def test_a_budget_that_is_too_small_is_inconclusive_never_a_failure(checked: Checked, budget: str) -> None:
    engine = checked(budget)
    stage = stages(engine)["overfit-one-batch"]
    assert stage.status == "inconclusive"
    assert "too few steps for a verdict" in stage.reason
    assert not fails(engine)
    assert found(engine) == {}


@pytest.mark.slow
def test_a_curve_that_still_falls_is_inconclusive(checked: Checked) -> None:
    engine = checked("optimizer.name=sgd", "optimizer.lr=0.003", "check.overfit.steps=150")
    stage = stages(engine)["overfit-one-batch"]
    assert stage.status == "inconclusive"
    assert "still falling" in stage.reason
    assert found(engine) == {}


# -- what it leaves behind ------------------------------------------------------------------------------

BUFFERED = net(
    "self.tail(self.count(x))",
    more="self.register_buffer('seen', torch.zeros(1))\n"
    "        self.tail = nn.Sequential(self.body, nn.BatchNorm1d(64), nn.Dropout(0.2), self.head)\n"
    "    def count(self, x):\n"
    "        self.seen = self.seen + 1  # a new tensor in the place of the old\n"
    "        return x",
)


def everything(workload: Workload) -> dict[str, Any]:
    """All that a step depends on."""
    return {
        "model": dict(workload.model.state_dict()),
        "gradients": [p.grad for p in workload.model.parameters()],
        "modes": [module.training for module in workload.model.modules()],
        "hooks": [len(module._forward_hooks) for module in workload.model.modules()],
        "optimizer": repr(workload.optimizer.state_dict()),
        "schedule": repr(workload.schedule.state_dict()) if workload.schedule else None,
        "torch": torch.get_rng_state(),
        "numpy": repr(np.random.get_state()),
        "python": random.getstate(),
        "batch": next(iter(workload.train))[0],
    }


def same(one: object, other: object) -> bool:
    """Bit by bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.numpy().tobytes() == other.numpy().tobytes()
    if isinstance(one, dict):
        assert isinstance(other, dict)
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        assert isinstance(other, list)
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.fixture
def at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """What a training is when it goes no further: at the end of its check, or stopped at its first update."""
    built: list[Workload] = []

    def remember(*arguments: Any) -> Workload:
        built.append(build(*arguments))
        return built[-1]

    monkeypatch.setattr("sgdb_engine.workload.build", remember)
    (tmp_path / f"buffered_{tmp_path.name}.py").write_text(f"import torch\nfrom torch import nn\n{BUFFERED}")
    (tmp_path / "run.toml").write_text(CLASSES.format(model=f'use = "buffered_{tmp_path.name}:Net"'))

    def run(mode: Mode, *overrides: str) -> dict[str, Any]:
        torch.manual_seed(12345)
        np.random.seed(1)
        random.seed(1)
        (tmp_path / mode).mkdir()
        engine = engine_for(
            resolve(str(tmp_path / "run.toml"), overrides=overrides).order(tmp_path / mode, mode), Engine
        )
        seen: list[dict[str, Any]] = []
        leave = engine.end_here

        def end_here(end: End) -> None:
            seen.append(everything(built[-1]))
            leave(end)

        engine.end_here = end_here
        engine.safe_point = lambda step: end_here(End("finished", 0))  # a check puts its own here
        end = engine.run()
        assert end.state == "finished", end
        (state,) = seen
        return state

    return run


@pytest.mark.parametrize(
    "setting",
    [
        "check.overfit.steps=2",
        *(pytest.param(s, marks=pytest.mark.slow) for s in ("run.seed=3", "optimizer.lr=1e30")),
    ],
)
def test_the_process_of_the_training_is_as_after_its_own_first_backward(
    at_the_end: Callable[..., dict[str, Any]], setting: str
) -> None:
    alone, checked = at_the_end("run", setting), at_the_end("check", setting)
    for part, value in alone.items():
        if part != "hooks":
            assert same(value, checked[part]), part


def test_what_the_model_raises_later_is_told_and_the_check_goes_on(checked: Checked) -> None:
    more = (
        "self.calls = 0\n"
        "    def stop(self, x):\n"
        "        self.calls += 1\n"
        "        assert self.calls < 9, 'the ninth call'\n"
        "        return x"
    )
    engine = checked(model=net("self.head(self.body(self.stop(x)))", more=more))
    assert [stage.name for stage in engine.checks] == list(STAGES)
    assert any("the ninth call" in stage.reason for stage in engine.checks)


def test_no_compiled_module_is_left_beside_the_users(checked: Checked, tmp_path: Path) -> None:
    checked(model=net(f"{FINE}.softmax(-1)"))
    assert not list(tmp_path.rglob("__pycache__"))


def test_only_the_run_folder_is_written_to(checked: Checked, tmp_path: Path) -> None:
    checked("check.overfit.steps=2", text=CLASSES.format(model=MLP))
    assert {path.name for path in tmp_path.iterdir()} == {"run.toml", "recorded"}
