"""What fits: bytes by hand, and changes that do make it fit."""

from dataclasses import replace

import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.models import cache, footprint
from bottlenecks.studies import room

LLAMA, H100 = model("Llama-3-70B"), chip("H100 SXM5")


def test_seventy_billion_weights_on_one_chip():
    found = room.serving(LLAMA, H100)
    # 70.55e9 weights of 2 bytes; 4,096 tokens x 80 layers x 8 heads x 128 values x 2 x 2 bytes
    assert found["rows"]["weights"] == pytest.approx(141.1e9, rel=1e-3)
    assert found["rows"]["cache"] == 4096 * 80 * 8 * 128 * 2 * 2
    assert found["shortfall"] == pytest.approx(sum(found["rows"].values()) - 85_520_809_984)
    assert found["change"] == "weights in fp8" and found["largest batch"] == 0


def test_what_fits_needs_no_change():
    found = room.serving(LLAMA, H100, chips=4)
    assert found["shortfall"] < 0 and found["change"] is None
    now = cache.Serving(tp=4, context=4096, batch=int(found["largest batch"]))
    held, more = (footprint.total_bytes(cache.serving_rows(LLAMA, s)) for s in (now, replace(now, batch=now.batch + 1)))
    assert held <= H100.memory_bytes < more


def test_a_long_context_asks_for_a_narrower_cache_first():
    assert room.serving(LLAMA, H100, chips=4, context=200_000, batch=4)["change"] == "an 8-bit cache"
    assert "chips" in room.serving(LLAMA, H100, chips=4, context=128_000, batch=64)["change"]


def test_training_is_cut_before_chips_are_bought():
    small = model("Llama-3-8B")
    alone = room.training(small, H100)
    # 18 bytes of weight, gradient and optimiser a parameter
    states = sum(alone["rows"][n] for n in ("weights", "gradients", "optimizer"))
    assert states == pytest.approx(18 * small.params, rel=1e-3)
    assert "ZeRO 3" in alone["change"] and "chips" in alone["change"]
    assert "ZeRO" in room.training(LLAMA, H100, chips=64)["change"]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="chips"):
        room.serving(LLAMA, H100, chips=0)
    with pytest.raises(ValueError, match="format"):
        room.serving(LLAMA, H100, format="fp7")
