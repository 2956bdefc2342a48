"""Attention's share of the bills, the runs of each year, a ring: by hand, by printed numbers, and by limits."""

import numpy as np
import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.laws import attention as law
from bottlenecks.studies import attention

WRITTEN, PLAIN, FUSED, OVERLAPPED = attention.PROGRAMS


@pytest.mark.parametrize("name", ["GPT-3 175B", "Llama-3-8B", "Llama-3.1-405B"])
def test_half_of_the_operations_is_where_the_law_says(name):
    m = model(name)
    by_law = law.half_flop_tokens(m.layer_params, heads=m.heads, head_values=m.head_values)
    assert attention.half(name) == pytest.approx(by_law, rel=2e-3)
    for program in attention.PROGRAMS:
        assert attention.crossings(name, program)["operations"] == pytest.approx(by_law, rel=1e-2)


def test_latent_heads_count_their_own_values():
    # DeepSeek-V3 has 192 values a query and 128 a value: 160 in the mean; a token uses 8 experts and the shared one
    m = model("DeepSeek-V3")
    active = m.active_block_params / m.layers
    assert attention.half("DeepSeek-V3") == pytest.approx(active / (128 * 160), rel=5e-3)


def test_bytes_kept_cross_where_korthikanti_s_count_says():
    # 34 d without scores and 5 bytes for each: 6.8 x 128 = 870 tokens, whatever the width
    assert attention.crossings("GPT-3 175B", WRITTEN)["memory"] == pytest.approx(870.4, rel=0.01)


def test_bytes_moved_at_gpt3_s_own_context_by_hand():
    # 96 heads x 2,048 keys x 19 passes x 2 B = 7.47 MB for a token and layer. The rest: each of the four matrices is read
    # forward and twice backward, 3 x 2 x 1.812e9 B / 2,048 tokens = 5.31 MB, beside 1.9 MB of activations: about half.
    found = attention.shares(model("GPT-3 175B"), np.array([2048.0]), program=WRITTEN)
    scores, weights = 96 * 2048 * 19 * 2, 3 * 2 * 12 * 12288**2 / 2048
    assert scores / (scores + weights) > found["traffic"][0] > 0.47


def test_fused_attention_has_no_square_in_bytes():
    found = attention.shares(model("Llama-3-8B"), attention.CONTEXTS, program=FUSED)
    assert np.all(found["memory"] == 0) and found["traffic"].max() < 0.35
    assert attention.crossings("Llama-3-8B", FUSED)["traffic"] == np.inf


def test_shares_rise_with_the_context():
    for program in attention.PROGRAMS:
        found = attention.shares(model("GPT-3 175B"), attention.CONTEXTS, program=program)
        for bill in attention.BILLS:
            assert np.all((found[bill] >= 0) & (found[bill] < 1))
            if not (bill == "traffic" and program in (FUSED, OVERLAPPED)):
                assert np.all(np.diff(found[bill]) >= (-3e-3 if bill == "time" else -1e-9))  # tiles and waves


def test_a_faster_program_crosses_later_in_time():
    at = [attention.crossings("Llama-3-8B", p)["time"] for p in (PLAIN, FUSED, OVERLAPPED)]
    assert at == sorted(at)


def test_a_crossing_is_found_between_its_neighbours():
    x = np.array([100.0, 1000.0, 10000.0])
    assert attention.crossing(x, np.array([0.1, 0.4, 0.6])) == pytest.approx(np.sqrt(1e3 * 1e4))
    assert attention.crossing(x, np.array([0.1, 0.2, 0.3])) == np.inf
    assert attention.crossing(x, np.array([0.6, 0.7, 0.8])) == 100.0


# ---- runs


def test_share_of_runs_by_hand():
    # GPT-3: 2,048 over twice 147,456 and 2,048 by the law, less a little for its output head
    found = attention.runs()
    gpt3 = found["share"][(found["name"] == "GPT-3 175B")]
    assert gpt3 == pytest.approx([2048 / (2048 + 147456)], rel=0.02)
    long = found["long"]
    assert found["share"][~long].max() < 0.25 < found["share"][long].max()


def test_llama_s_authors_feared_what_is_computed():
    # they did not train on long sequences earlier "because the compute in self-attention layers grows quadratically"
    found = attention.runs()
    mine = np.char.startswith(found["name"], "Llama 3.1 405B")
    short, long = (found["share"][mine & (found["long"] == which)][0] for which in (False, True))
    # of the same weights: 0.040 / 0.960 grows by 131,072 / 8,192 = 16
    assert long / (1 - long) == pytest.approx(16 * short / (1 - short), rel=1e-3)


# ---- a ring


def on_a_ring(context=65536.0, ranks=8, link=450e9, zigzag=True):
    return attention.ring(model("Llama-3-8B"), context, ranks, on="H100 SXM5", link_bytes_per_s=link, zigzag=zigzag)


def test_pieces_of_a_ring_do_the_triangle():
    found = on_a_ring(zigzag=False)
    idle = found["steps_s"] == 0
    assert idle.sum() == 7 * 8 / 2 and np.all(found["steps_s"][-1] > 0)
    assert np.all(on_a_ring()["steps_s"] > 0)


def test_passes_over_written_scores_are_as_measured():
    # 64 texts of 1,024 tokens, 16 heads: 40.3 GB where a pass over the scores in 16 bits is 2.147 GB (dao2022flashattention)
    assert attention.passes() == pytest.approx(40.3e9 / (64 * 16 * 1024**2 * 2), rel=0.02)
    # no mask: two passes less forward and two backward; no dropout: as many
    assert attention.passes(causal=False) == attention.passes(dropped=False) == 15


def test_in_order_tends_to_twice_the_time():
    # the last of 8 has 15/64 of the square, the mean 8/64
    ratio = on_a_ring(2.0**21, zigzag=False)["whole_s"] / on_a_ring(2.0**21)["whole_s"]
    assert ratio == pytest.approx(15 / 8, rel=0.1)


def test_a_thin_link_is_what_a_ring_waits_for():
    thin, thick = on_a_ring(8192.0, link=1e9), on_a_ring(8192.0, link=1e15)
    # 2 x 1,024 values x 2 B x 1,024 tokens = 4.19 MB at 1 GB/s: 4.19 ms, seven times
    assert thin["sent_step_s"] == pytest.approx(4.194e-3, rel=1e-3)
    assert thin["whole_s"] == pytest.approx(7 * 4.194e-3, rel=0.03)
    assert thick["whole_s"] < thin["whole_s"] / 20


def test_the_ring_s_shares_are_as_measured():
    for computed, measured in attention.ring_shares().values():
        assert abs(np.log(computed / measured)) < 0.15


def test_the_largest_share_of_a_run():
    # GPT-3: 2,048 tokens of 12 widths x 12,288, where half of the operations are attention's
    share = attention.largest_share("GPT-3 175B", long=False)
    assert share == pytest.approx(2048 / (2048 + 12 * 12288), rel=0.02)
    assert attention.largest_share("GPT-3 175B", long=True) == 0
    with pytest.raises(ValueError, match="did you mean 'GPT-3 175B'"):
        attention.largest_share("GPT-3 175", long=False)
