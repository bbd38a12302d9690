"""One batch learnt by heart, or not, and why."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sgdb_engine.checks.overfit import OneBatch, check_of
from sgdb_engine.config import load_config
from sgdb_engine.session import Engine
from sgdb_engine.snapshot import restored
from sgdb_engine.workload import Workload, build
from tests.engine.checks.conftest import CLASSES, NUMBERS, Checked

Verdict = Callable[..., tuple[str, str]]

SAMPLES = Path(__file__).parents[3] / "sample_configs"
SANE = sorted(path for path in SAMPLES.glob("*.toml") if not path.name.startswith("broken"))

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


def net(output: str, more: str = "pass", inputs: int = 13, outputs: int = 3) -> str:
    return TWO_LAYERS.format(output=output, more=more, inputs=inputs, outputs=outputs)


# -- sane set-ups pass ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("path", SANE, ids=lambda path: path.stem)
def test_every_sane_sample_passes_within_its_budget(path: Path, tmp_path: Path) -> None:
    engine = Engine(tmp_path, check_of(load_config(path), SAMPLES))
    engine.start()
    engine.wait()
    (stage,) = engine.checks
    assert stage.status == "pass", stage.reason


def test_a_sane_model_passes_and_the_reason_says_near_zero(verdict: Verdict) -> None:
    status, reason = verdict(model=net("self.head(self.body(x))"))
    assert status == "pass"
    assert "near zero" in reason


def test_a_frozen_backbone_with_a_trainable_head_passes(verdict: Verdict) -> None:
    status, _ = verdict(model=net("self.head(self.body(x))", more="self.body.requires_grad_(False)"))
    assert status == "pass"


@pytest.mark.parametrize(
    "more",
    [
        "self.unused = nn.Parameter(torch.ones(3))",
        "self.later = nn.Linear(64, 5)",
        "self.unused = nn.Parameter(torch.ones(3)); self.place = self.unused.device, self.unused.shape",
    ],
)
def test_an_unused_parameter_does_not_fail_the_check(verdict: Verdict, more: str) -> None:
    status, reason = verdict(model=net("self.head(self.body(x))", more=more))
    assert status == "pass", reason


def test_asking_an_unused_parameter_for_its_device_is_not_using_it(verdict: Verdict) -> None:
    output = "self.head(self.body(x.to(self.marker.device)))"
    status, reason = verdict(model=net(output, more="self.marker = nn.Parameter(torch.ones(0))"))
    assert status == "pass", reason


@pytest.mark.parametrize(
    "schedule",
    [
        ["schedule.name=cosine", "schedule.warmup_steps=100000"],
        ["schedule.name=step", "schedule.every=1", "schedule.factor=0.1"],
        ["schedule.name=cosine", "train.epochs=1"],
    ],
)
def test_a_schedule_does_not_change_the_verdict_the_rate_is_held_and_that_is_stated(
    checked: Checked, schedule: list[str]
) -> None:
    engine = checked(*schedule)
    (stage,) = engine.checks
    assert stage.status == "pass", stage.reason
    assert engine.latest()["lr"] == 0.01
    assert engine.described is not None
    assert any("learning rate held" in note for note in engine.described.notes)


@pytest.mark.parametrize("text", [CLASSES, NUMBERS])
def test_dropout_is_left_on_and_stated(verdict: Verdict, text: str) -> None:
    _, reason = verdict("model.dropout=0.3", text=text)
    assert "dropout 0.3 was left on" in reason


def test_the_batch_is_held_still_even_where_the_data_are_drawn_anew_each_time(
    checked: Checked, tmp_path: Path
) -> None:
    (tmp_path / "augmented.py").write_text(
        "import torch\n"
        "class Noisy(torch.utils.data.Dataset):\n"
        "    classes = list('abc')\n"
        "    def __len__(self): return 30\n"
        "    def __getitem__(self, index): return torch.randn(13), index % 3\n"
        "def make(): return Noisy(), None\n"
    )
    engine = checked(
        text=CLASSES.replace('name = "wine"', 'use = "augmented:make"'), model=net("self.head(self.body(x))")
    )
    (stage,) = engine.checks
    assert stage.status == "pass", stage.reason


# -- broken set-ups fail --------------------------------------------------------------------------------

BELOW = ["body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias"]


@pytest.mark.parametrize(
    "cut",
    ["self.body(x).detach()", "self.body(x).data", "torch.tensor(self.body(x).tolist())", "self.blind(x)"],
)
def test_layers_cut_off_below_the_head_fail_the_check_though_the_head_learns_the_batch(
    verdict: Verdict, cut: str
) -> None:
    more = "pass\n    @torch.no_grad()\n    def blind(self, x):\n        return self.body(x)"
    status, reason = verdict("check.overfit.steps=800", model=net(f"self.head({cut})", more=more))
    assert status == "fail"
    assert all(name in reason for name in BELOW)
    assert "head" not in reason.partition(";")[0]
    assert "of what could be learnt is left" in reason or "near zero" in reason
    assert "detach" in reason


@pytest.mark.parametrize("layer", ["nn.LSTM(13, 8, batch_first=True)", "nn.GRU(13, 8, batch_first=True)"])
def test_a_recurrent_layer_that_is_cut_off_is_seen_too(verdict: Verdict, layer: str) -> None:
    output = "self.tail(self.recurrent(x[:, None])[0][:, -1].detach())"
    more = f"self.recurrent = {layer}; self.tail = nn.Linear(8, 3)"
    status, reason = verdict("check.overfit.steps=50", model=net(output, more=more))
    assert status == "fail"
    assert "recurrent.weight_ih_l0" in reason
    assert "body" not in reason


def test_a_loss_that_is_cut_off_from_all_parameters_fails(verdict: Verdict) -> None:
    status, reason = verdict(model=net("self.head(self.body(x)).detach()"))
    assert status == "fail"
    assert "does not depend on any trainable parameter" in reason


def test_frozen_parameters_alone_fail(verdict: Verdict) -> None:
    status, reason = verdict(model=net("self.head(self.body(x))", more="self.requires_grad_(False)"))
    assert status == "fail"
    assert "all 6 parameters of the model are frozen" in reason


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_learning_rate_of_zero_fails(verdict: Verdict, optimizer: str) -> None:
    status, reason = verdict("optimizer.lr=0", f"optimizer.name={optimizer}")
    assert status == "fail"
    assert "the learning rate is 0" in reason
    assert "too high" not in reason
    assert "too low" not in reason


@pytest.mark.parametrize(
    ("end", "word"),
    [
        ("torch.relu({})", "a ReLU, which gives nothing below 0"),
        ("nn.functional.softplus({})", "a softplus"),
        ("torch.sigmoid({})", "a sigmoid, which gives only values from 0 to 1"),
        ("torch.tanh({})[:, :]", "a tanh"),
        ("torch.relu({}).reshape(-1, 1).clone()", "a ReLU"),
    ],
)
def test_an_output_that_cannot_reach_the_targets_fails(verdict: Verdict, end: str, word: str) -> None:
    model = net(end.format("self.head(self.body(x))"), inputs=10, outputs=1)
    status, reason = verdict("check.overfit.steps=300", text=NUMBERS, model=model)
    assert status == "fail"
    assert word in reason
    assert "can never be reached" in reason


def test_a_relu_at_the_output_passes_where_all_targets_are_positive(verdict: Verdict, tmp_path: Path) -> None:
    (tmp_path / "counts.py").write_text(
        "import torch\n"
        "def make():\n"
        "    x = torch.randn(32, 10, generator=torch.Generator().manual_seed(1))\n"
        "    return torch.utils.data.TensorDataset(x, x[:, :1].abs()), None\n"
    )
    text = NUMBERS.replace('name = "diabetes"', 'use = "counts:make"')
    model = net("torch.relu(self.head(self.body(x)) + 1)", inputs=10, outputs=1)
    status, reason = verdict(text=text, model=model)
    assert "can never be reached" not in reason
    assert status == "pass", reason


@pytest.mark.parametrize("lr", [0.01, 0.1])
def test_softmax_before_cross_entropy_fails_and_is_named(verdict: Verdict, lr: float) -> None:
    status, reason = verdict(f"optimizer.lr={lr}", model=net("self.head(self.body(x)).softmax(-1)"))
    assert status == "fail"
    assert "cross_entropy applies it itself" in reason


def test_inputs_that_are_all_equal_fail_and_are_named(verdict: Verdict, tmp_path: Path) -> None:
    (tmp_path / "grey.py").write_text(
        "import torch\n"
        "class Grey(torch.utils.data.Dataset):\n"
        "    classes = list('abc')\n"
        "    def __len__(self): return 32\n"
        "    def __getitem__(self, index): return torch.ones(13), index % 3\n"
        "def make(): return Grey(), None\n"
    )
    status, reason = verdict(text=CLASSES.replace('name = "wine"', 'use = "grey:make"'))
    assert status == "fail"
    assert "do not tell the targets apart" in reason


def test_a_batch_with_nan_names_the_inputs_and_not_the_learning_rate(
    verdict: Verdict, tmp_path: Path
) -> None:
    (tmp_path / "gaps.py").write_text(
        "import torch\n"
        "class Gaps(torch.utils.data.Dataset):\n"
        "    classes = list('abc')\n"
        "    def __len__(self): return 30\n"
        "    def __getitem__(self, index):\n"
        "        return torch.full((13,), float('nan') if index == 7 else float(index)), index % 3\n"
        "def make(): return Gaps(), None\n"
    )
    status, reason = verdict(text=CLASSES.replace('name = "wine"', 'use = "gaps:make"'))
    assert status == "fail"
    assert "13 values of the batch's inputs are NaN or infinite" in reason
    assert "learning rate" not in reason
    assert "never change" not in reason


# -- the broken samples ---------------------------------------------------------------------------------


def broken_sample(name: str, tmp_path: Path) -> str:
    engine = Engine(tmp_path, check_of(load_config(SAMPLES / f"{name}.toml"), SAMPLES))
    engine.start()
    end = engine.wait()
    assert end is not None
    assert end.exit_code == 1
    (stage,) = engine.checks
    assert stage.status == "fail"
    return stage.reason


def test_inputs_that_are_not_normalised_are_named_with_their_range(tmp_path: Path) -> None:
    reason = broken_sample("broken_inputs_not_normalised", tmp_path)
    assert "the inputs range from 0 to 255" in reason
    assert "data.normalise = true" in reason


def test_a_learning_rate_that_is_too_high_is_named(tmp_path: Path) -> None:
    reason = broken_sample("broken_lr_too_high", tmp_path)
    assert "the learning rate 1 is probably too high" in reason
    assert "too low" not in reason
    assert "inputs range" not in reason


@pytest.mark.slow
@pytest.mark.parametrize(
    "mended", ["broken_inputs_not_normalised data.normalise=true", "broken_lr_too_high optimizer.lr=0.001"]
)
def test_the_broken_samples_pass_once_they_are_mended_as_their_comments_say(
    mended: str, tmp_path: Path
) -> None:
    name, setting = mended.split()
    engine = Engine(tmp_path, check_of(load_config(SAMPLES / f"{name}.toml", [setting]), SAMPLES))
    engine.start()
    engine.wait()
    assert engine.checks[0].status == "pass", engine.checks[0].reason


# -- budgets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", ["check.overfit.seconds=0.000001", "check.overfit.steps=3"])
def test_a_budget_that_is_too_small_is_inconclusive_never_a_failure(verdict: Verdict, budget: str) -> None:
    status, reason = verdict(budget)
    assert status == "inconclusive"
    assert "too few steps for a verdict" in reason
    assert "never change" not in reason


def test_a_curve_that_still_falls_is_inconclusive(verdict: Verdict) -> None:
    status, reason = verdict("optimizer.name=sgd", "optimizer.lr=0.003", "check.overfit.steps=150")
    assert status == "inconclusive"
    assert "still falling" in reason
    assert "may be too low" in reason


def test_the_training_ends_as_soon_as_the_loss_is_near_zero(checked: Checked) -> None:
    (stage,) = checked("check.overfit.steps=100000").checks
    assert stage.status == "pass"
    assert stage.evidence["steps"] < 1000
    assert stage.evidence["excess"] < 0.01


# -- what it leaves behind ------------------------------------------------------------------------------

BUFFERED = net(
    "self.tail(self.count(x))",
    more="self.register_buffer('seen', torch.zeros(1))\n"
    "        self.tail = nn.Sequential(self.body, nn.BatchNorm1d(64), nn.Dropout(0.2), self.head)\n"
    "    def count(self, x):\n"
    "        self.seen = self.seen + 1  # a new tensor in the place of the old\n"
    "        return x",
)


def everything(workload: Workload) -> dict[str, object]:
    return {
        "model": {name: tensor.clone() for name, tensor in workload.model.state_dict().items()},
        "gradients": [p.grad for p in workload.model.parameters()],
        "modes": [module.training for module in workload.model.modules()],
        "optimizer": repr(workload.optimizer.state_dict()),
        "schedule": repr(workload.schedule.state_dict()) if workload.schedule else None,
        "torch": torch.get_rng_state().clone(),
        "batch": next(iter(workload.train))[0],
    }


def same(before: object, after: object) -> bool:
    if isinstance(before, torch.Tensor):
        return isinstance(after, torch.Tensor) and before.numpy().tobytes() == after.numpy().tobytes()
    if isinstance(before, dict):
        assert isinstance(after, dict)
        return before.keys() == after.keys() and all(same(before[key], after[key]) for key in before)
    return before == after


@pytest.mark.parametrize("setting", ["optimizer.lr=0.01", "optimizer.lr=1e30", "check.overfit.steps=2"])
def test_weights_buffers_optimizer_modes_and_generators_are_as_before(tmp_path: Path, setting: str) -> None:
    module = f"buffered_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(f"import torch\nfrom torch import nn\n{BUFFERED}")
    (tmp_path / "run.toml").write_text(CLASSES.format(model=f'use = "{module}:Net"'))
    config = load_config(tmp_path / "run.toml", [setting])
    fresh, checked_one = build(config, tmp_path), build(config, tmp_path)
    expected = everything(fresh)
    torch.manual_seed(config.run.seed)
    rng = torch.get_rng_state().clone()

    def training(engine: Engine) -> None:
        with restored(checked_one):
            engine.checked(OneBatch(config, checked_one, engine).run())

    (tmp_path / "recorded").mkdir()
    engine = Engine(tmp_path / "recorded", training)
    engine.start()
    end = engine.wait()
    assert end is not None
    assert end.state == "finished", end
    assert same(rng, torch.get_rng_state())
    assert same(expected | {"torch": None}, everything(checked_one) | {"torch": None})


def test_the_generators_of_the_caller_are_as_before_although_building_seeds_them(checked: Checked) -> None:
    torch.manual_seed(12345)
    before = torch.get_rng_state().clone()
    checked()
    assert same(before, torch.get_rng_state())


def test_a_check_that_raises_in_its_midst_restores_too(checked: Checked) -> None:
    torch.manual_seed(12345)
    before = torch.get_rng_state().clone()
    more = (
        "self.calls = 0\n"
        "    def stop(self, x):\n"
        "        self.calls += 1\n"
        "        assert self.calls < 9, 'the ninth call'\n"
        "        return x"
    )
    engine = checked(model=net("self.head(self.body(self.stop(x)))", more=more))
    assert engine.end is not None
    assert (engine.end.state, engine.end.exit_code) == ("failed", 1)
    assert "the ninth call" in engine.end.message
    assert same(before, torch.get_rng_state())


def test_no_compiled_module_is_left_beside_the_users(checked: Checked, tmp_path: Path) -> None:
    checked(model=net("self.head(self.body(x))"))
    assert not list(tmp_path.rglob("__pycache__"))
