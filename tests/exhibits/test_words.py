"""What figures say: short captions, names and no keys, and numbers that can be worked out by hand."""

import numpy as np
import pytest

from bottlenecks import data
from bottlenecks.exhibits import ap_catalog, ch05_formats, registry
from bottlenecks.facts.architectures import model
from bottlenecks.studies import ledgers

EXHIBITS = list(registry.load_all().values())
KEYS = {row["source_id"] for row in data.rows("corpus_sources") if "_" in row["source_id"]}
LONG = ("01-your-machine", "05-owners")  # whose captions still say what belongs into the text


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda e: e.slug)
def test_a_caption_is_short_and_plain(exhibit):
    assert exhibit.slug.startswith(LONG) or len(exhibit.caption.split()) <= 40
    assert exhibit.slug.startswith(LONG) or "`" not in exhibit.caption


@pytest.mark.parametrize("slug", ["01-steps", "02-advertised", "05-predicted", "09-measured", "A2-sources"])
def test_sources_are_called_by_their_names(slug):
    """In what is drawn, and in the words beside it, at every setting of the menu."""
    exhibit = registry.exhibit(slug)
    for name, control in exhibit.controls.items() or [("", None)]:
        for value in control.values if control else [None]:
            table = exhibit.table(**{name: value} if name else {})
            shown = {str(cell) for column in ("series", "source") if column in table for cell in table[column]}
            assert not shown & KEYS and not any(key in exhibit.summary(table) for key in KEYS), value


def test_6nd_leaves_the_band_where_a_tenth_is_reached():
    """Llama-3-8B, 32 layers of 4,096: counted / 6 = 7,504,658,432 + 131,072 (t + 1), and N = 8,029,995,008.

    1.1 N - 7,504,658,432 = 1,328,336,076.8; over 131,072 that is 10,134.4, so t = 10,133.4.
    """
    said = registry.exhibit("03-six-n-d")(model_name="Llama-3-8B").summary
    assert ledgers.tokens_at(model("Llama-3-8B"), over_six_n_d=1.1) == pytest.approx(10_133.4, abs=0.1)
    assert "leaves the band at 10,134 tokens" in said


def test_a_mixture_is_told_beside_a_dense_model():
    """73 tokens: 0.96875^73 = 0.0985 of the experts are missed, and 0.1017 with 72."""
    experts = registry.exhibit("03-experts")
    alone = experts(model_name="DeepSeek-V3", tokens=1).summary
    assert "as much as a dense model (" in alone and "from 73 tokens on" in alone
    assert "times a dense model's (" in experts(model_name="DeepSeek-V3", tokens=32).summary


def test_factors_below_one_are_fractions():
    assert [ch05_formats.over(f) for f in (4, 1, 0.5, 1.29 / 165.2)] == ["×4", "×1", "1/2", "1/130"]


def test_points_off_the_line_are_named_and_names_keep_apart():
    """Of a line of points one is lifted and one lowered; beside the lifted one stands another, whose name has no room."""
    x = np.linspace(0.1, 0.9, 9)
    places = np.column_stack([x, x])
    places[2, 1] += 0.3
    places[7, 1] -= 0.4
    names = np.array([f"chip {i}" for i in range(9)] + ["near"])
    places = np.vstack([places, places[2] + (0.01, -0.01)])
    named = dict(ap_catalog._far_apart(names, places))
    assert named["chip 2"] and not named["chip 7"] and "near" not in named
