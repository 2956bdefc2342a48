"""Whole answers, full load, guesses: by hand from the seconds of their passes."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.architectures import Model, model
from bottlenecks.facts.chips import chip
from bottlenecks.models import inference, requests
from bottlenecks.models.inference import Plan
from bottlenecks.models.machine import machine

LLAMA, SMALL = model("Llama-3-70B"), model("Llama-3-8B")
H100 = machine(chip("H100 SXM5"))


def test_two_points_stand_for_all_steps_of_a_long_answer():
    # The cache grows from next to nothing to most of the traffic: 255 sequences of up to 20,000 tokens.
    made = requests.run(SMALL, Plan(), H100, batch=255, prompt=100, output=20_000)
    steps = inference.decode_s(SMALL, Plan(), H100, batch=255, context=np.arange(101, 20_100))
    assert steps[-1] > 10 * steps[0]
    assert made.decode_s == pytest.approx(steps.sum(), rel=1e-3)
    assert made.seconds == made.prefill_s + made.decode_s


def test_the_cost_of_a_token_of_an_even_load():
    # 512-token prompts are read 16 in a pass of 8,192 tokens; 64 sequences in flight, 256 tokens each, whose
    # contexts lie evenly from 512 to 768: a turnover is 256 steps at 640 and 64 / 16 such passes.
    step = inference.decode(LLAMA, Plan(tp=8), H100, batch=64, context=640).seconds
    read = inference.prefill(LLAMA, Plan(tp=8), H100, batch=16, prompt=512).seconds
    turnover = 256 * step + 4 * read
    load = requests.saturated(LLAMA, Plan(tp=8), H100, batch=64, prompt=512, output=256)
    assert load.tokens_per_s == pytest.approx(64 * 256 / turnover)
    assert load.token_s == pytest.approx(turnover / 256) and load.batch == 64
    # prompts longer than a pass are read one by one
    read = inference.prefill(LLAMA, Plan(tp=8), H100, batch=1, prompt=20_000).seconds
    step = inference.decode(LLAMA, Plan(tp=8), H100, batch=64, context=20_128).seconds
    load = requests.saturated(LLAMA, Plan(tp=8), H100, batch=64, prompt=20_000, output=256)
    assert load.token_s == pytest.approx(step + 64 * read / 256)


def test_a_pipeline_under_full_load_by_hand():
    # Four stages, four parts of 16 sequences under way: a token of each comes when all parts have passed the
    # slowest stage, or when its own part is through, whichever is later; prompts pass at the slowest stage's pace.
    plan = Plan(tp=2, pp=4)
    part = inference.decode(LLAMA, plan, H100, batch=16, context=640)
    read = inference.prefill(LLAMA, plan, H100, batch=16, prompt=512)
    token = max(part.seconds, 4 * inference.slowest_stage_s(part, plan))
    turnover = 256 * token + 4 * inference.slowest_stage_s(read, plan)
    load = requests.saturated(LLAMA, plan, H100, batch=64, prompt=512, output=256)
    assert load.tokens_per_s == pytest.approx(64 * 256 / turnover)


def test_groups_of_experts_each_serve_their_own():
    mixture = model("Mixtral-8x7B")
    step = inference.decode(mixture, Plan(ep=8), H100, batch=64, context=640).seconds
    read = inference.prefill(mixture, Plan(ep=8), H100, batch=16, prompt=512).seconds
    load = requests.saturated(mixture, Plan(ep=8), H100, batch=64, prompt=512, output=256)
    assert load.tokens_per_s == pytest.approx(8 * 64 * 256 / (256 * step + 4 * read))


def test_guessed_tokens_by_hand():
    # Four guesses, each a step of the draft; all five places checked in one pass over 1,028 tokens. With half of
    # the guesses right 1 + 1/2 + 1/4 + 1/8 + 1/16 = 1.9375 tokens come of it.
    asked = {"batch": 3, "context": 1024}
    draft = inference.decode(SMALL, Plan(tp=8), H100, **asked).seconds
    check = inference.one_pass(LLAMA, Plan(tp=8), H100, batch=3, queries=5, keys=1028).seconds
    found = requests.speculative_s(LLAMA, SMALL, Plan(tp=8), H100, **asked, acceptance=0.5, drafted=4)
    assert found == pytest.approx((4 * draft + check) / 1.9375)


def test_what_fits_beside_the_weights_by_hand():
    # A layer of 16 x 16 x 4 attention and 3 x 16 x 32 weights, two tables of 64 x 16: 2 x 4,608 bytes. A sequence
    # of 100 tokens: 100 x 2 x 16 values in 16 bits, 6,400 bytes; beside it 2 x 2 x (2 x 16 + 64) of activations
    # and 64 scores of 4 bytes.
    tiny = Model(name="tiny", layers=1, width=16, ffn_width=32, heads=2, kv_heads=2, head_values=8, vocab=64)
    weights, sequence = 2 * (1024 + 1536 + 2 * 1024), 6400 + 2 * (32 + 64) + 256
    for batch in (3, 10):
        room = (weights + batch * sequence) / 0.9
        for memory, fits in ((room * (1 + 1e-9), batch), (room * (1 - 1e-9), batch - 1)):
            on = replace(H100, memory_bytes=memory)
            assert requests.largest_batch(tiny, Plan(), on, context=100) == fits


def test_a_frontier_by_trying_all():
    # A point stays if no other that fits is as quick and yields as much.
    plan, batches = Plan(tp=4, pp=2, weight_format="fp8"), np.array([3, 1, 2, 16, 64, 100, 37, 100_000])
    asked = {"prompt": 512, "output": 512}
    edge = requests.frontier(LLAMA, plan, H100, **asked, batches=batches)
    fits = batches[batches <= requests.largest_batch(LLAMA, plan, H100, context=1024)]
    loads = {b: requests.saturated(LLAMA, plan, H100, batch=float(b), **asked) for b in fits}
    best = {
        b
        for b, mine in loads.items()
        if not any(o.token_s < mine.token_s and o.tokens_per_s > mine.tokens_per_s for o in loads.values())
    }
    assert set(edge["batch"]) == best and 100_000 not in fits
    each = [loads[b].tokens_per_s / 8 for b in edge["batch"]]
    assert edge["tokens_per_s_per_chip"] == pytest.approx(each)
    assert edge["token_s"] == pytest.approx([loads[b].token_s for b in edge["batch"]])
