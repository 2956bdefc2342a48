"""Equation cards and tables: made from the functions themselves."""

import ast
import inspect
import re

import pytest

from bottlenecks import data
from bottlenecks.laws import counting, roofline, shares, tiling, trends
from bottlenecks.lessons.show import Card, Table, show, table
from bottlenecks.models import kernels, ops, requests
from bottlenecks.studies import growth

LAWS = [
    f
    for module in (roofline, tiling, ops)
    for _, f in inspect.getmembers(module, inspect.isfunction)
    if f.__module__ == module.__name__ and "$$" in (f.__doc__ or "")
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_card_has_everything(law):
    card = Card(law)
    assert card.equation.strip() and card.label.startswith("eq:") and card.holds and card.source
    arguments = [name for name in inspect.signature(law).parameters]
    named = [name for _, name, _, _ in card.symbols if not name.startswith("(")]
    assert named == arguments, "one line for each argument, in order"
    assert all(unit for *_, unit in card.symbols)
    assert card.code.startswith(f"def {law.__name__}(") and '"""' not in card.code


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_card_links_the_sources_that_it_cites(law):
    shown = show(law)._repr_mimebundle_()["text/markdown"]
    for key in data.references():
        if key in Card(law).source:
            assert key not in shown.split("```python")[0], f"{key} is shown instead of its author"
            assert data.references()[key].get("url", "") in shown


def test_every_law_of_the_roofline_has_a_card():
    public = {n for n, f in inspect.getmembers(roofline, inspect.isfunction) if f.__module__ == roofline.__name__}
    assert public <= {law.__name__ for law in LAWS}


def test_the_symbols_of_the_equation_are_in_the_card():
    markdown = show(roofline.energy_joules)._repr_mimebundle_()["text/markdown"]
    assert r"| $\epsilon_{f}$ | `joules_per_flop` |" in markdown and "(eq:energy)" in markdown


def test_a_function_without_an_equation_is_refused_by_name():
    with pytest.raises(ValueError, match="'times_s' has no equation"):
        show(ops.times_s)


def markdown(law):
    return show(law)._repr_mimebundle_()["text/markdown"]


def test_a_label_is_an_anchor_and_leads_to_its_equation():
    assert markdown(roofline.time_s).startswith('<a id="eq-roofline-time"></a>**Seconds of work')
    assert "as [eq:roofline-time](#eq-roofline-time), of which" in markdown(roofline.attainable_flop_per_s)
    assert "| [eq:waves](#eq-waves) |" in markdown(tiling.filled)


def test_every_column_of_a_card_has_a_heading_and_no_symbol_is_a_dash():
    assert "| symbol | argument | meaning | unit |" in markdown(roofline.time_s)
    assert "$-$" not in markdown(tiling.attention_pairs) and "|  | `causal` |" in markdown(tiling.attention_pairs)


def test_formulas_in_words_are_set_as_mathematics():
    said = markdown(roofline.tiled_matmul_bytes)
    assert "$t$ ≤ min($m$, $n$)" in said and "$m$ $n$ / $t^2$ tiles" in said
    assert "probability 1 − $E_{k}$/E" in markdown(counting.experts_touched)
    assert "$T_{d}$" not in markdown(roofline.time_s)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a chip's b and b's own", "a chip's $b$ and b's own"),
        ("at most 3 FLOP/s of `b`", "at most 3 FLOP/s of `b`"),
        ("b - 1 of a key palm_t3", "$b$ − 1 of a key palm_t3"),
        ("as w_kv over b^2", "as $w_{kv}$ over $b^2$"),
        ("sub-b, b-sub and J. b. Kim", "sub-b, b-sub and J. $b$. Kim"),
    ],
)
def test_words_stay_words(text, said):
    card = Card(roofline.matmul_bytes)
    card.symbols = [("b", "", "", ""), ("s", "", "", ""), ("a", "", "", "")]
    assert card._worded(text) == said


def test_code_shows_no_marks_for_tools_no_bare_helpers_and_no_line_that_breaks_anywhere():
    for law in [*LAWS, requests.saturated, growth.step, trends.fit_doubling, kernels.matmul_s, shares.shares]:
        card = Card(law)
        assert "# fmt" not in card.code and "noqa" not in card.code
        ast.parse(card.code)
        assert ast.dump(ast.parse(card.code)) == ast.dump(without_docstring(law)), "broken lines are the same code"
        assert all(len(line) <= 100 for line in card.code.splitlines()), card.name
        if re.search(r"(?<![\w.])_[a-z]\w*\(", card.code):
            assert "<details><summary>The code</summary>" in markdown(law), card.name


def without_docstring(law):
    tree = ast.parse(inspect.getsource(law))
    del tree.body[0].body[0]
    return tree


def test_titles_have_no_formula_of_python():
    for law in [*LAWS, growth.step, requests.saturated, shares.shares]:
        assert not re.search(r"[{}\\]", Card(law).title), Card(law).title


def test_table():
    bundle = table({"a": n, "b": n * n} for n in (1, 20))._repr_mimebundle_()
    assert bundle["text/plain"] == " a    b\n 1    1\n20  400"
    assert bundle["text/markdown"].splitlines() == ["| a | b |", "| --: | --: |", "| 1 | 1 |", "| 20 | 400 |"]
    with pytest.raises(ValueError, match="at least one row"):
        Table([])


def test_words_stand_left_numbers_right_and_whole():
    rows = [
        {"what": "one token", "rate": "5,449 tokens/s", "because": "it reads", "error": "-3.2 %", "when": "-"},
        {"what": "2 tokens of", "rate": "≈7 GB", "because": "12 GB", "error": "", "when": "2 s"},
    ]
    bundle = table(rows)._repr_mimebundle_()
    lines = bundle["text/markdown"].splitlines()
    assert lines[1] == "| :-- | --: | :-- | --: | --: |"
    assert "| 5,449\u00a0tokens/s | it reads | -3.2\u00a0% |" in lines[2]
    assert "12\u00a0GB" in lines[3] and "2 tokens of" in lines[3]
    assert bundle["text/plain"].splitlines()[1].startswith("one token    5,449 tokens/s  it reads")
