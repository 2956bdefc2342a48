"""What a recipe keeps, and ZeRO on shelves: bytes and widths by hand."""

import numpy as np
import pytest

from bottlenecks.exhibits import ch08, ch08_drawn
from bottlenecks.exhibits.registry import pick, row
from bottlenecks.facts.architectures import model
from bottlenecks.laws.memory import RECIPES, states_bytes
from bottlenecks.models.layouts import Layout
from bottlenecks.studies import splitting

# ---- 08-recipes


def kept(model_name):
    """Gigabytes of each recipe, by its name."""
    table = ch08.recipes(model_name=model_name).table
    parts = np.array(pick(table, "recipe", *ch08.SHOWN))
    return dict(zip(pick(table, "recipe", "recipe"), parts.sum(0) / 1e9, strict=True)), parts / 1e9


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("Adam, mixed precision", 6.738 * 18),  # 2 + 4 + 12
        ("the same, 16-bit gradients", 6.738 * 16),
        ("SGD with momentum", 6.738 * 12),  # 2 + 2 + 4 of 32-bit weights + 4
        ("Adam with 8-bit states", 6.738 * (8 + 2 * (1 + 4 / 256))),
        ("Adam in 16 bits alone", 6.738 * 8),
        # 4 matrices of 4,096 x 4,096 and 3 of 4,096 x 11,008 in 32 layers: 16 x (4 x 8,192 + 3 x 15,104) x 32 = 39.98e6
        ("LoRA, rank 16", 6.738 * 2 + 0.03998 * 16),
        # 32 layers of 202.38e6 at 4.5 bits, embedding and head of 131.07e6 each at 16
        ("QLoRA, rank 16", 6.476 * 4.5 / 8 + 0.26214 * 2 + 0.03998 * 16),
    ],
)
def test_a_recipe_by_hand(name, gigabytes):
    assert kept("Llama-2-7B")[0][name] == pytest.approx(gigabytes, rel=1e-3)


def test_muon_leaves_embedding_and_head_to_adam():
    """Of 8.030e9 parameters 2 x 128,256 x 4,096 = 1.0507e9 keep 12 bytes of states, the others 8."""
    assert kept("Llama-3-8B")[0]["Muon"] == pytest.approx(8.030 * 12 + 1.0507 * 4, rel=1e-3)


def test_what_fits_which_card():
    """Llama 2 7B, 6.738e9 parameters: 12 bytes of each are 80.9 GB of an H100's 85.5, 16 are 107.8."""
    least = dict(zip(ch08.KEPT, ch08._least_card(ch08.recipes(model_name="Llama-2-7B").table), strict=True))
    assert list(ch08.CARDS) == ["RTX 4090", "H100", "B200"]
    assert least["SGD with momentum"] == 1 and least["Adam, mixed precision"] == 2 and least["LoRA, rank 16"] == 0
    said = ch08.recipes(model_name="Llama-3-70B").summary  # 70.55e9 x 18 bytes, 12 of them states
    assert "Adam in mixed precision keeps 1.27 TB, 66.7 %" in said
    assert "An H100 (85.5 GB) holds: QLoRA, rank 16." in said and "RTX 4090 (25.8 GB): nothing." in said


# ---- 08-shelves


@pytest.mark.parametrize(
    ("stage", "chips", "gigabytes"),
    [
        (0, 8, 144.5),  # 8.03 x 18
        (0, 1, 144.5),
        (1, 8, 60.2),  # 8.03 x (6 + 12 / 8)
        (2, 4, 48.2),  # 8.03 x (2 + 16 / 4)
        (3, 8, 18.07),  # 144.54 / 8
        (3, 1, 144.5),
    ],
)
def test_what_a_chip_keeps(stage, chips, gigabytes):
    table = ch08_drawn.shelves(stage=stage, chips=chips).table
    found, recipe = pick(table, "book", "kept_bytes").sum(), RECIPES[ch08_drawn.RECIPE]._asdict()
    assert found == pytest.approx(gigabytes * 1e9, rel=1e-3)
    each = {name: recipe[name] for name in ("weight_bytes", "gradient_bytes", "state_bytes")}
    assert found == pytest.approx(states_bytes(model(ch08_drawn.MODEL).params, **each, zero=stage, ranks=chips))


@pytest.mark.parametrize("chips", ch08_drawn.CHIPS)
@pytest.mark.parametrize("stage", range(4))
def test_volumes_are_to_scale_and_a_dealt_one_stands_on_one_shelf(stage, chips):
    table = ch08_drawn.shelves(stage=stage, chips=chips).table
    (x0, x1, y0, _), kinds, number = ch08_drawn.volumes(table)
    left, right, *_ = ch08_drawn.SHELVES
    widths = (x1 - x0) / (right - left) * 18  # bytes per parameter
    for kind, (size, since) in enumerate(((2, 3), (4, 2), (12, 1))):
        mine = kinds == kind
        assert widths[mine] == pytest.approx(size / chips)
        times = np.bincount(number[mine].astype(int), minlength=chips + 1)[1:]
        assert (times == (1 if stage >= since else chips)).all()
    for shelf in np.unique(y0):  # books stand side by side
        assert x0[y0 == shelf][1:] == pytest.approx(x1[y0 == shelf][:-1])


def test_what_is_sent_by_hand():
    """On 8 chips 7 of 8 parts leave: sums 2 x 4 bytes; scattered and gathered 4 + 2; with ZeRO 3 4 + 2 x 2."""
    found = [row(ch08_drawn.shelves(stage=z, chips=8).table) for z in range(4)]
    assert [h.sent_bytes for h in found] == pytest.approx([7.026e9 * b for b in (8, 6, 6, 8)], rel=1e-3)
    assert [h.sent_values / h.plain_values for h in found] == pytest.approx([1, 1, 1, 1.5])
    layout = Layout(seq_len=1, dp=8, zero=np.arange(4))
    assert [h.sent_bytes for h in found] == pytest.approx(splitting.sent_bytes(model("Llama-3-8B"), layout)["data"])
    assert row(ch08_drawn.shelves(stage=3, chips=1).table).sent_bytes == 0


def test_what_is_whole_while_it_is_used():
    """Two layers of 218.1e6 and an embedding of 525.3e6 at 2 bytes; gradients of one layer and the embedding at 4."""
    used = pick(ch08_drawn.shelves(stage=3, chips=8).table, "used", "used_bytes")
    assert used == pytest.approx([2 * (2 * 218.1e6 + 525.3e6), 4 * (218.1e6 + 525.3e6)], rel=1e-3)
    for stage, chips in ((2, 8), (3, 1)):
        assert pick(ch08_drawn.shelves(stage=stage, chips=chips).table, "used", "used_bytes").tolist() == [0, 0]


def test_the_verdict_counts_what_is_whole():
    """85.52 - 18.07 - 4.90 = 62.55, and 144.54 - 85.52 = 59.02."""
    assert "62.6 GB are left for activations" in ch08_drawn.shelves(stage=3, chips=8).summary
    assert "are 59 GB too few" in ch08_drawn.shelves(stage=0, chips=8).summary
