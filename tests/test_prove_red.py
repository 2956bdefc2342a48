"""The tool that plants wrong formulas: its own logic. `make prove-red` runs it."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("prove_red", ROOT / "tools" / "prove_red.py")
prove_red = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prove_red)

MADE = prove_red.Wrong("twice", "laws.made", "2 * x", "4 * x", (), "kernels")


@pytest.mark.parametrize("wrong", prove_red.WRONGS, ids=lambda wrong: wrong.module)
def test_each_wrong_formula_can_be_planted(wrong):
    path = ROOT / "bottlenecks" / (wrong.module.replace(".", "/") + ".py")
    text = path.read_text(encoding="utf-8")
    changed = prove_red.planted(text, wrong)
    compile(changed, path.name, "exec")
    assert changed != text


def test_a_formula_is_planted_where_it_stands_once():
    assert prove_red.planted("y = 2 * x + 1", MADE) == "y = 4 * x + 1"
    for text in ("y = 3 * x", "y = 2 * x; z = 2 * x"):
        with pytest.raises(ValueError, match="not once"):
            prove_red.planted(text, MADE)


def test_what_was_red_before_does_not_count():
    before = {"by hand": {"a"}, "changed": set(), "budget": {"b"}}
    after = {"by hand": {"a", "c"}, "changed": {"d"}, "budget": {"b"}}
    found = prove_red.newly(before, after)
    assert found == {"by hand": ["c"], "changed": ["d"], "budget": []}
    assert prove_red.missed(found) == ["budget"]


def test_a_changed_prediction_alone_is_not_enough():
    assert prove_red.missed({"by hand": [], "changed": ["d"], "budget": []}) == ["by hand", "budget"]
    assert prove_red.missed({"by hand": ["a"], "changed": [], "budget": ["b"]}) == []


def test_red_tests_are_read_from_a_run(tmp_path):
    made = "import pytest\n@pytest.mark.parametrize('x', [1, 2])\ndef test_one(x):\n    assert x == 1\n"
    (tmp_path / "test_made.py").write_text(made, encoding="utf-8")
    assert prove_red.reds(tmp_path, "test_made.py") == {"test_made::test_one[2]"}
