"""What fits: bytes by hand, what is held back, and changes that do make it fit."""

from dataclasses import replace

import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.measured import memory
from bottlenecks.models import cache, footprint
from bottlenecks.models.layouts import Layout
from bottlenecks.studies import room

LLAMA, H100 = model("Llama-3-70B"), chip("H100 SXM5")
SMALL = model("Llama-3-8B")
BEYOND = memory.constants()
CONTEXTS = BEYOND["overhead_bytes"]


def test_seventy_billion_weights_on_one_chip():
    found = room.serving(LLAMA, H100)
    # 70.55e9 weights of 2 bytes; 4,096 tokens x 80 layers x 8 heads x 128 values x 2 x 2 bytes
    assert found["rows"]["weights"] == pytest.approx(141.1e9, rel=1e-3)
    assert found["rows"]["cache"] == 4096 * 80 * 8 * 128 * 2 * 2
    # a tenth of the memory is left alone
    assert found["shortfall"] == pytest.approx(sum(found["rows"].values()) - 0.9 * 85_520_809_984)
    assert found["held back"] == pytest.approx(0.1 * 85_520_809_984 + CONTEXTS)
    assert found["change"] == "weights in four bits" and found["largest batch"] == 0


def test_what_fits_needs_no_change():
    found = room.serving(LLAMA, H100, chips=4, held_back=0.05)
    assert found["shortfall"] < 0 and found["change"] is None
    now = cache.Serving(
        tp=4, context=4096, batch=int(found["largest batch"]), pass_tokens=8192, overhead_bytes=CONTEXTS
    )
    held, more = (footprint.total_bytes(cache.serving_rows(LLAMA, s)) for s in (now, replace(now, batch=now.batch + 1)))
    assert held <= 0.95 * H100.memory_bytes < more


def test_the_verb_agrees_with_the_functions():
    found = room.serving(LLAMA, H100, tp=4, pp=2, batch=3, context=999, format="awq", cache_format="fp8", prefill=512)
    ends = {"attention_bytes": 4.15625 / 8, "embedding_bytes": 2, "head_bytes": 2}
    now = cache.Serving(
        tp=4,
        pp=2,
        batch=3,
        context=999,
        weight_bytes=4.15625 / 8,
        **ends,
        cache_bytes=1,
        pass_tokens=512,
        overhead_bytes=CONTEXTS,
    )
    assert found["rows"] == pytest.approx({n: float(v) for n, v in cache.serving_rows(LLAMA, now).items()})
    asked = {"tp": 2, "pp": 2, "zero": 2, "recompute": "full", "micro_batches": 4, "recipe": "adam, 8-bit alone"}
    more = asked | {"loss_parts": 4, "offloaded_states": 0.5}
    found = room.training(SMALL, H100, chips=16, context=2048, batch=2, **more)
    now = Layout(dp=4, seq_len=2048, micro_batch=2, **more, **BEYOND)
    assert found["rows"] == pytest.approx({n: float(v) for n, v in footprint.training_rows(SMALL, now).items()})


@pytest.mark.parametrize(
    ("text", "blocks", "ends"),
    [
        ("bf16", 2, 2),
        ("nf4", 4.5 / 8, 2),
        ("AWQ", 4.15625 / 8, 2),
        ("w8a8", 1, 2),
        ("int8", 1, 1),
        ("4.25 bits", 4.25 / 8, 4.25 / 8),
    ],
)
def test_weights_as_people_write_them(text, blocks, ends):
    # Llama-3-70B: 80 layers of 855,638,016 weights, two embeddings of 128,256 x 8,192
    found = room.serving(LLAMA, H100, chips=4, format=text)["rows"]
    assert 4 * found["weights"] == pytest.approx(blocks * 80 * 855_638_016 + ends * 2 * 128_256 * 8192)
    assert 4 * found["cache"] == 4096 * 80 * 8 * 128 * 2 * 2  # 16 bits, whatever the weights are in


def test_formats_that_say_more():
    assert room.serving(model("gpt-oss-20b"), H100)["weights"] == "mxfp4"  # as it was released
    # a head of 6.5625 bits above matrices of 4.5
    q4 = room.serving(LLAMA, H100, chips=4, format="Q4_0")["rows"]["weights"]
    assert 4 * q4 == pytest.approx((4.5 * (LLAMA.params - 128_256 * 8192) + 6.5625 * 128_256 * 8192) / 8)
    narrow = room.serving(LLAMA, H100, chips=4, format="w4a8kv4")["rows"]["cache"]
    assert 4 * narrow == pytest.approx(4096 * 80 * 8 * 128 * 2 * 4.25 / 8)  # its name has the cache's width


def test_a_context_is_no_longer_than_the_models_own():
    found = room.serving(model("LLaMA-7B"), H100)
    assert found["largest context"] == 2048 < found["of memory alone"]
    assert found["remarks"] == ["4,096 tokens are more than the 2,048 that LLaMA-7B was made for"]
    assert room.serving(model("LLaMA-7B"), H100, context=2048)["remarks"] == []


def test_a_long_context_asks_for_a_narrower_cache_first():
    long = model("Llama-3.1-70B")
    assert room.serving(long, H100, chips=4, context=120_000, batch=4)["change"] == "an 8-bit cache"
    assert "chips" in room.serving(long, H100, chips=4, context=128_000, batch=64)["change"]


def test_weights_on_the_host_make_room():
    here, away = (room.serving(LLAMA, H100, offloaded=part) for part in (0.0, 0.75))
    assert away["rows"]["weights"] == here["rows"]["weights"] / 4 and away["shortfall"] < 0 < here["shortfall"]


def test_training_is_cut_before_chips_are_bought():
    alone = room.training(SMALL, H100, held_back=0.0)
    # 18 bytes of weight, gradient and optimiser a parameter
    states = sum(alone["rows"][n] for n in ("weights", "gradients", "optimizer"))
    assert states == pytest.approx(18 * SMALL.params, rel=1e-3)
    assert alone["change"] == "optimiser states and gradients on the host and full recomputation"
    assert "ZeRO" in room.training(LLAMA, H100, chips=64)["change"]
    assert "chips" in room.training(LLAMA, H100)["change"]
    # one chip with 12 GB less than it needs: a loss in parts gives up 7/8 of 8,192 x 128,256 logits of 10 bytes
    tight = {"recipe": "adam, bf16 alone", "recompute": "full", "context": 8192}
    needs = sum(room.training(SMALL, H100, held_back=0.0, **tight)["rows"].values())
    less = replace(H100, memory_bytes=needs - 5e9)
    assert room.training(SMALL, less, held_back=0.0, **tight)["change"] == "a loss in 8 parts"


def test_what_training_holds_back():
    found = room.training(SMALL, H100, recipe="adam, bf16 alone", recompute="full")
    tensors = sum(held for name, held in found["rows"].items() if name != "reserve")
    assert found["held back"] == pytest.approx(BEYOND["fragmentation"] * tensors + CONTEXTS)
    assert "16 measured runs" in found["held for"]
    plain = room.training(SMALL, H100, recipe="adam, bf16 alone", recompute="full", held_back=8e9)
    assert plain["rows"]["reserve"] == 0 and plain["held back"] == 8e9
    assert plain["shortfall"] == pytest.approx(tensors + 8e9 - H100.memory_bytes)


def test_a_layout_as_told():
    found = room.training(SMALL, H100, chips=16, tp=2, pp=2)
    assert found["layout"] == "tensor parallel over 2, 2 stages, 4 data parallel"
    with pytest.raises(ValueError, match=r"chips must be tp x pp x dp x cp \(8\), got 16; the nearest is 8"):
        room.training(SMALL, H100, chips=16, tp=2, dp=4)
    with pytest.raises(ValueError, match=r"chips must be tp x pp x ep \(8\), got 3"):
        room.serving(SMALL, H100, chips=3, tp=8)
    mixture = model("Qwen3-30B-A3B")
    whole, dealt = (room.serving(mixture, H100, tp=2, ep=ep)["rows"]["weights"] for ep in (1, 4))
    experts = 48 * 128 * 3 * 2048 * 768
    assert whole - dealt == pytest.approx(2 * experts / 2 * 3 / 4)


def test_bad_input_is_named():
    for wrong, message in (
        ({"chips": 0}, "chips"),
        ({"format": "fp7"}, "format"),
        ({"cache_format": "fp7"}, "cache_format"),
        ({"format": ""}, "format"),
        ({"held_back": -0.1}, "held_back must be zero or above"),
        ({"held_back": 1e12}, "held_back must be from 0 to"),
        ({"offloaded": 2}, "offloaded"),
        ({"prefill": 0}, "prefill"),
    ):
        with pytest.raises(ValueError, match=message):
            room.serving(LLAMA, H100, **wrong)
    for wrong, message in (
        ({"recipe": "adam 8bit"}, "did you mean 'adam, 8-bit'"),
        ({"recomputation": "full"}, "field of a layout 'recomputation' is unknown; did you mean 'recompute'"),
        ({"held_back": "some"}, "held_back"),
    ):
        with pytest.raises(ValueError, match=message):
            room.training(LLAMA, H100, **wrong)
