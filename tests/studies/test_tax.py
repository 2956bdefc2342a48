"""One user on 70 billion parameters: floors by hand, and what is left."""

import pytest

from bottlenecks.studies import tax

LINES = {line["machine"]: line for line in tax.single_user()}


def test_floors_by_hand():
    # 141.1e9 bytes over 8 x 2.039e12 and over 4 x 21e15; 69.0e9 over 576 x 80e12
    assert LINES["eight A100"]["memory_s"] == pytest.approx(8.65e-3, rel=5e-3)
    assert LINES["wafers"]["memory_s"] == pytest.approx(1.68e-6, rel=5e-3)
    assert LINES["small chips"]["memory_s"] == pytest.approx(1.50e-6, rel=1e-2)


def test_what_memory_does_not_explain():
    """8 A100s: 17.0 ms a token, of which 8.65 are the weights: half is tax. A wafer or small chips: nearly all of it."""
    assert LINES["eight A100"]["tax"] == pytest.approx(1 - 8.65 / 17.01, rel=1e-2)
    assert all(LINES[name]["tax"] > 0.998 for name in ("wafers", "small chips"))
    assert LINES["wafers"]["token_s"] < LINES["eight A100"]["token_s"] / 7


def test_more_chips_pay_more():
    """Two A100s read the weights for half of their token; eight for less: what is shared out is the reading, not the agreeing."""
    assert LINES["two A100"]["tax"] < LINES["eight A100"]["tax"]


def test_machines_hold_their_models():
    for name, line in LINES.items():
        assert line["holds"] > 1, name


def test_energy_of_a_lonely_token():
    # 576 x 300 W / 300 tokens a second; 4 x 23 kW / 450; 8 x 330 W / 58.78
    assert LINES["eight A100"]["joules"] == pytest.approx(44.9, rel=1e-3)
    assert LINES["small chips"]["joules"] == pytest.approx(576)
    assert LINES["wafers"]["joules"] == pytest.approx(4 * 23e3 / 450)


def test_one_layer_at_a_time_by_hand():
    """80 layers, of which one is read while the others wait: 80 x 1.68 us on the wafers."""
    assert LINES["wafers"]["in_turn_s"] == pytest.approx(80 * 1.68e-6, rel=5e-3)
    assert LINES["wafers"]["usd"] == pytest.approx(10e6)


def test_collectives_of_a_token():
    """160 sums of 16 KiB among eight A100s, by kernels of one's own: 10 to 20 us each."""
    assert 160 * 10e-6 < LINES["eight A100"]["exchange_s"] < 160 * 20e-6


def test_the_verdict_can_come_out_otherwise():
    verdict = tax.interconnect_tax()
    assert verdict.verdict == "holds-when" and len(verdict.rows) == 5
    slow = [line | ({"token_s": 0.1} if line["machine"] == "wafers" else {}) for line in tax.single_user()]
    assert tax.interconnect_tax(slow).verdict == "holds"
    read = [line | ({"in_turn_s": 2e-3} if line["machine"] == "wafers" else {}) for line in tax.single_user()]
    assert tax.interconnect_tax(read).verdict == "fails"


def test_yield_by_hand():
    """exp(-0.814) and exp(-46.2)."""
    assert tax.whole(tax.DIE_CM2) == pytest.approx(0.443, rel=1e-3) and tax.whole(tax.WAFER_CM2) < 1e-20
