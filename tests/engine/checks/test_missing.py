"""Missing values anywhere in the training examples fail the check, also where the batch misses them."""

from pathlib import Path

from tests.engine.checks.conftest import CLASSES, Checked


def test_a_single_nan_outside_the_batch_fails_the_check_and_is_named(
    checked: Checked, tmp_path: Path
) -> None:
    rows = [f"{i % 3},{'' if i == 7 else i / 100},{i % 3}" for i in range(100)]
    (tmp_path / "gaps.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    data = 'data={name = "csv", path = "gaps.csv", target = "y", validation = 0}'
    engine = checked(data, "train.batch_size=2", text=CLASSES)
    (stage,) = engine.checks
    assert stage.status == "fail"
    assert "1 value of the training inputs is NaN or infinite, in feature 1 (from 0)" in stage.reason
    finding = engine.findings[0]
    assert (finding.code, finding.severity, finding.evidence) == ("input-nonfinite", "error", {"inputs": 1})


def test_finite_examples_make_no_such_finding(checked: Checked) -> None:
    assert not [each for each in checked().findings if each.code == "input-nonfinite"]
