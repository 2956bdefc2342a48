"""What a utilisation counts, and products by width: areas and numbers by hand."""

import numpy as np
import pytest

from bottlenecks.exhibits import ch06_drawn
from bottlenecks.exhibits.registry import pick, row
from bottlenecks.exhibits.style import COLOUR
from bottlenecks.studies import one_device, widths

PAIR = 2 * 32 * 32 * 128 * 1e-9  # GFLOP per token and pass of the needed half, for each token of the sequence
BY_HAND = {  # (what is counted, tokens): GFLOP per token
    ("6ND alone, attention forgotten", 2048): 6 * 6.65,
    ("6ND alone, attention forgotten", 65536): 39.9,
    ("needed, over the dense peak", 65536): 39.9 + 51.54,  # 3 x 2 x 32 x 32 x 128 x 65,536 = 51.54e9
    ("needed, over the PCIe card's peak", 65536): 91.44,
    ("the full square counted", 65536): 39.9 + 2 * 51.54,
    ("and the recomputed pass (HFU)", 65536): 39.9 + 12.88 + 4 * 34.36,  # 2 x 32 x 12 x 4,096^2 = 12.88e9
    ("needed, over the dense peak", 2048): 39.9 + 3 * 0.537,
    ("6ND with the embedding, tied or not", 8192): 39.9 + 1.24,  # 6 x 50,368 x 4,096 = 1.238e9
}


def shoelace(corners):
    x, y = np.transpose(corners)
    return abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2


def area(scene, *colours):
    return sum(shoelace(corners) for corners, fill, *_ in scene.areas if fill in colours)


@pytest.mark.parametrize(("setting", "giga"), BY_HAND.items())
def test_what_is_counted_by_hand(setting, giga):
    table = ch06_drawn.counted(counted=setting[0], tokens=setting[1]).table
    flop, taken = pick(table, "block", "flop_per_token", "counted")
    assert flop @ taken == pytest.approx(giga * 1e9, rel=1e-3)
    assert row(table).total_flop_per_token == pytest.approx(giga * 1e9, rel=1e-3)


def test_utilisation_by_hand_and_only_at_the_length_that_was_measured():
    here = row(ch06_drawn.counted(tokens=65536).table)
    assert here.utilisation == pytest.approx(91.44e9 * 1956 / 989.4e12, rel=1e-3)  # 18.1 %
    assert np.isnan(row(ch06_drawn.counted(tokens=32768).table).utilisation)


@pytest.mark.parametrize("tokens", ch06_drawn.LENGTHS)
def test_a_mask_halves_the_square(tokens):
    found = one_device.blocks(float(tokens))
    needed, masked = (found["forward", f"attention, {half} half"] for half in ("needed", "masked"))
    assert needed == pytest.approx(PAIR * 1e9 * tokens, rel=1e-3) and masked == pytest.approx(needed, rel=2e-3)


@pytest.mark.parametrize("tokens", [2048, 5000, 65536])
@pytest.mark.parametrize("name", one_device.COUNTED)
def test_coloured_areas_are_to_scale_of_what_is_counted(name, tokens):
    table = ch06_drawn.counted(counted=name, tokens=tokens).table
    coloured = area(ch06_drawn.counted_scene(table), *ch06_drawn.COUNTED.values())
    assert coloured / ch06_drawn.square_inches_per_flop() == pytest.approx(row(table).total_flop_per_token, rel=2e-3)


def test_products_are_drawn_once_for_each_pass_that_is_counted():
    one, four = (
        area(ch06_drawn.counted_scene(ch06_drawn.counted(counted=name).table), COLOUR["compute"])
        for name in ("needed, over the dense peak", "and the recomputed pass (HFU)")
    )
    assert four / one == pytest.approx((39.89 + 12.88) / 39.89, rel=1e-3)  # the head is not computed again


# ---- by width -------------------------------------------------------------------------------------


@pytest.mark.parametrize("chip", ch06_drawn.CHIPS)
@pytest.mark.parametrize("attention", ch06_drawn.ATTENTIONS)
def test_owners_share_the_whole_step(chip, attention):
    table = ch06_drawn.by_width(chip_name=chip, attention=attention).table
    np.testing.assert_allclose(sum(pick(table, "swept", *ch06_drawn.OWNERS)), 1, atol=1e-3)


def test_a_gpt_has_twelve_squares_of_its_width_per_layer():
    shape = widths.gpt(4096.0)
    assert shape.attention_params + shape.ffn_params == 12 * 4096**2


def test_a_published_shape_lies_on_the_curve_where_it_is_one_of_these_gpts():
    """GPT-3: 96 heads of 128 values, 4 x 12,288 between."""
    table = ch06_drawn.by_width(tokens=2048).table
    d, share = pick(table, "swept", "width", "products")
    width, products, name = pick(table, "model", "width", "products", "name")
    gpt3 = np.flatnonzero(name == "GPT-3, OPT")[0]
    assert products[gpt3] == pytest.approx(share[d == 12288][0], rel=2e-3) and width[gpt3] == 12288


def test_the_width_of_a_share_is_where_the_curve_has_it():
    d = widths.HEAD * np.round(widths.width_of(0.9, "V100 SXM2 32GB", 2048, False) / widths.HEAD)
    owned = widths.owners(widths.gpt(np.array([d])), "V100 SXM2 32GB", tokens=2048, fused=False)
    assert owned["products"][0] == pytest.approx(0.9, abs=5e-3)
    assert np.isnan(widths.width_of(0.9, "H100 SXM5", 2048, True)) and np.isnan(
        widths.width_of(0.1, "V100 SXM2 32GB", 512, True)
    )


def test_fused_attention_gives_products_more_and_length_then_matters_little():
    def products(**chosen):
        return pick(ch06_drawn.by_width(**chosen).table, "swept", "products")

    written = [products(tokens=tokens, attention="scores written out") for tokens in (512, 8192)]
    fused = [products(tokens=tokens, attention="fused") for tokens in (512, 8192)]
    assert (written[1] < written[0]).all() and (fused[1] > written[1]).all()
    wide = widths.WIDTHS > 4000
    assert np.abs(fused[1] - fused[0])[wide].max() < 0.03 < (written[0] - written[1])[wide].min()


def test_a_length_between_the_steps_is_drawn():
    assert "3,000 tokens" in ch06_drawn.by_width(tokens=3000).summary
