"""Decoding: floors of the bytes that are stored, what narrow weights gain, and mixtures as servers find them."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.exhibits import ch09, ch09_server
from bottlenecks.facts import formats
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.models import inference, kernels
from bottlenecks.studies import decoding


def test_floors_are_of_the_bytes_that_are_stored():
    found = decoding.floors()
    for spelled, size in (("int4-g32", 0.625), ("Q4_K_M", 0.61), ("int8", 1), ("bf16", 2)):
        mine = found["format"] == spelled
        shape = model(str(found["model"][mine][0]))
        on = chip(str(found["chip"][mine][0]))
        read = size * (shape.active_block_params + shape.head_params)
        assert found["floor_s"][mine][0] == pytest.approx(read / on.memory_bytes_per_s / found["chips"][mine][0])
        assert formats.bytes_per_value(formats.stored(spelled)) == size
    assert np.all(found["measured_s"] > found["floor_s"])


def test_four_bits_of_gpt_fast_by_hand():
    # 25.25 over 19.13 tokens a second; five bits with scales, so eight fifths of the bytes; 1097.66 over 1322.58 GB/s as printed
    found = decoding.narrower("gptfast", "Llama-2-70B")
    assert found["rate"] == pytest.approx(25.25 / 19.13) and found["bits"] == 2 and found["bytes"] == 8 / 5
    assert found["bandwidth"] == pytest.approx(1097.66 / 1322.58, rel=0.01)
    assert found["bytes"] * found["bandwidth"] == pytest.approx(found["rate"])


def test_a_latent_serves_all_heads():
    # 128 heads meet 576 values of a key and 512 of a value, two operations each, of 576 values of two bytes
    by_hand = 2 * 128 * (576 + 512) / (2 * 576)
    assert decoding.attention_intensity(model("DeepSeek-V3"), batch=64, context=8192) == pytest.approx(by_hand)


def test_multi_head_attention_of_a_latents_shape():
    # DeepSeek-V2's own comparison: 2 x 128 heads x 128 values over 512 + 64
    table = ch09_server.cache().table
    mine = (table["series"] == "model") & (table["model"] == "DeepSeek-V2")
    saved = table["multi_head_bytes_per_token"][mine] / table["bytes_per_token"][mine]
    assert saved[0] == pytest.approx(2 * 128 * 128 / 576)


def test_mixtures_are_drawn_with_the_constant_of_predictions():
    """58 of DeepSeek-V3's 61 layers route their tokens, and each starts once a step; a dense model has none."""
    asked = {"batch": 8, "context": 2048}
    for name, routed in (("DeepSeek-V3", 58), ("Llama-3-70B", 0)):
        shape, plan, on = ch09.serving_of("H200 SXM", name, "fp8", 8)
        assert on.routing_s == kernels.family_constants("Hopper")["routing_8_s"] > 0
        with_start, without = (
            inference.decode_s(shape, plan, machine, **asked) for machine in (on, replace(on, routing_s=0.0))
        )
        assert with_start - without == pytest.approx(routed * on.routing_s)
