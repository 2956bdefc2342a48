"""More work is never faster: every size of every kernel, pass, step and collective; more of a rate is never slower.

Where a size has a tooth that is physics, it is stated: a switch that sums has less to send for each of more ranks;
heads are of whole loads (108 values take longer than 112), and ranks stay in one domain.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip, chips
from bottlenecks.facts.networks import system
from bottlenecks.models import collectives, inference, kernels, requests, tori, training
from bottlenecks.models.inference import Plan
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import machine
from bottlenecks.models.software import years

ROUNDING = 1 + 1e-9
NAMES = [n for n, c in chips().items() if "bf16" in c.peaks]
names = st.sampled_from(NAMES)
few, many = st.integers(1, 64), st.integers(1, 20_000)


def never_faster(time, sizes):
    """`time(**sizes)` with one size after the other one larger, half as large again, and eight times as large."""
    usual = time(**sizes)
    for name, size in sizes.items():
        more = np.array([size + 1, size + (size + 1) // 2, 8 * size])
        found = time(**sizes | {name: more})
        assert np.all(found * ROUNDING >= usual), (name, size, more, usual, found)


# ---- kernels

products = st.fixed_dictionaries({"m": many, "k": many, "n": many, "groups": few})


@given(names, products, st.booleans())
def test_a_larger_product_is_never_faster(name, sizes, warm):
    on = kernels.device(chip(name))
    never_faster(lambda **s: kernels.matmul_s(**s, device=on, warm=warm), sizes)


@given(names, st.floats(1.0, 1e10), st.sampled_from(["add", *kernels.WORKED]))
def test_more_bytes_of_an_elementwise_kernel_are_never_faster(name, moved, kind):
    on = kernels.device(chip(name))
    never_faster(lambda moved_bytes: kernels.elementwise_s(moved_bytes, device=on, kind=kind), {"moved_bytes": moved})


attentions = st.fixed_dictionaries({"queries": st.integers(1, 3000), "cached": st.integers(0, 9000), "batch": few})
attention_heads = st.fixed_dictionaries({"heads": few, "kv_heads": st.integers(1, 8)})
ways = st.fixed_dictionaries(
    {
        "head_values": st.sampled_from([64, 80, 128, 256]),
        "causal": st.booleans(),
        "window": st.sampled_from([np.inf, 100, 128, 1024, 4096]),
        "backward": st.booleans(),
        "implementation": st.sampled_from(kernels.IMPLEMENTATIONS),
    }
)


def attention_s(on, way, queries, cached, **sizes):
    return kernels.attention_s(queries, queries + cached, **sizes, **way, device=on)


@given(names, attentions, attention_heads, ways)
def test_more_attention_is_never_faster(name, sizes, heads, way):
    on = kernels.device(chip(name))
    never_faster(lambda **s: attention_s(on, way, **s), sizes | heads)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("cached", [0, 4096])
def test_one_query_more_is_never_faster(name, causal, cached):
    """Every number of queries from one to past two blocks; a block more once made the tile of all others shorter."""
    on, queries = kernels.device(chip(name)), np.arange(1, 300)
    for heads in (1, 32):
        for window in (np.inf, 1024):
            way = {"head_values": 128, "kv_heads": 1, "causal": causal, "window": window}
            found = attention_s(on, way, queries, cached, batch=1, heads=heads)
            of_keys = kernels.attention_s(queries, 4096, batch=1, heads=heads, device=on, **way)
            assert np.all(np.diff(found) >= -1e-9 * found[:-1]) and np.all(np.diff(of_keys) >= -1e-9 * of_keys[:-1])


# ---- passes of a server

PLANS = st.sampled_from([Plan(), Plan(tp=8), Plan(tp=4, pp=2), Plan(tp=2, weight_format="int8")])
MODELS = st.sampled_from([model(n) for n in ("Llama-3-8B", "Gemma-2-9B", "Mixtral-8x7B", "DeepSeek-V3")])
SERVERS = [machine(chip(n)) for n in ("H100 SXM5", "A100 SXM 80GB", "B200 SXM (HGX)", "MI300X", "TPU v5p")]
servers = st.sampled_from(SERVERS)


@given(servers, MODELS, PLANS, st.fixed_dictionaries({"batch": st.integers(1, 600), "context": many}))
def test_a_longer_or_wider_step_is_never_faster(on, shape, plan, sizes):
    never_faster(lambda **s: inference.decode_s(shape, plan, on, **s), sizes)


prompts = st.fixed_dictionaries(
    {"batch": st.integers(1, 30), "prompt": st.integers(17, 3000), "cached": st.integers(1, 3000)}
)


@given(servers, MODELS, PLANS, prompts)
def test_a_longer_prompt_is_never_read_faster(on, shape, plan, sizes):
    never_faster(lambda **s: inference.prefill_s(shape, plan, on, **s), sizes)


@settings(max_examples=15)
@given(servers, MODELS, PLANS, st.fixed_dictionaries({"batch": few, "prompt": st.integers(17, 3000), "output": many}))
def test_a_longer_answer_is_never_sooner(on, shape, plan, sizes):
    never_faster(lambda **s: requests.run(shape, plan, on, **s).seconds, sizes)


# ---- training

GPT = replace(model("Llama-3-8B"), ahead=0)
STEPS = st.fixed_dictionaries(
    {
        "tp": st.sampled_from([1, 2, 8]),
        "pp": st.sampled_from([1, 2, 4]),
        "dp": st.sampled_from([1, 4, 16]),
        "cp": st.sampled_from([1, 2]),
        "zero": st.sampled_from([0, 1, 3]),
        "sp": st.booleans(),
        "recompute": st.sampled_from(["none", "selective", "products", "full"]),
        "schedule": st.sampled_from(["gpipe", "1f1b", "zb1p", "zb2p", "dualpipe"]),
    }
)
work = st.fixed_dictionaries(
    {"micro_batch": st.integers(1, 4), "micro_batches": st.integers(4, 40), "seq_len": st.sampled_from([512, 2048])}
)
TRAINERS = [machine(system("DGX H100")), machine(chip("A100 SXM 80GB")), machine(chip("MI300X"))]
trainers = st.sampled_from(TRAINERS)


@settings(max_examples=20)
@given(trainers, STEPS, work, st.sampled_from(list(years())))
def test_a_larger_step_is_never_faster(on, cut, sizes, software):
    def time(micro_batch, micro_batches, seq_len):
        layout = Layout(**cut, micro_batch=micro_batch, micro_batches=micro_batches, seq_len=seq_len)
        return training.seconds(GPT, layout, on=on, software=software)

    never_faster(time, sizes)


@settings(max_examples=20)
@given(trainers, STEPS, st.sampled_from(list(years())), st.sampled_from(["layers", "width", "ffn_width", "vocab"]))
def test_a_larger_model_is_never_trained_faster(on, cut, software, what):
    layout = Layout(**cut, micro_batch=1, micro_batches=8, seq_len=2048)
    shapes = [replace(GPT, **{what: getattr(GPT, what) * times}) for times in (1, 2, 3)]
    found = [training.seconds(shape, layout, on=on, software=software) for shape in shapes]
    assert found[0] <= found[1] * ROUNDING and found[1] <= found[2] * ROUNDING


# ---- rates

RATES = "matmul_flop_per_s older_flop_per_s product_flop_per_s vector_per_s exp_per_s core_clocks_per_s cache_bytes"
RATES = (RATES + " memory_bytes_per_s cache_bytes_per_s link_speed port_speed link_bytes_per_s").split()
WAITS = "fixed_s light_s tile_s waits host_waits".split()
better = st.sampled_from([*((name, 1) for name in RATES), *((name, -1) for name in WAITS)])


@given(servers, MODELS, PLANS, better, st.floats(1, 4), st.integers(1, 600), st.integers(17, 3000))
def test_a_better_server_is_never_slower(on, shape, plan, way, times, batch, tokens):
    name, sign = way
    faster = replace(on, **{name: getattr(on, name) * times**sign})
    for seconds in (
        lambda on: inference.decode_s(shape, plan, on, batch=batch, context=tokens),
        lambda on: inference.prefill_s(shape, plan, on, batch=1, prompt=tokens, cached=batch),
    ):
        assert seconds(faster) <= seconds(on) * ROUNDING


@given(trainers, STEPS, better, st.floats(1, 4), st.sampled_from(list(years())))
def test_a_better_trainer_is_never_slower(on, cut, way, times, software):
    name, sign = way
    faster = replace(on, **{name: getattr(on, name) * times**sign})
    layout = Layout(**cut, micro_batch=1, micro_batches=8, seq_len=2048)
    slow, fast = (training.seconds(GPT, layout, on=x, software=software) for x in (on, faster))
    # A step that waits for the processor takes as long with faster kernels, but half of the wait is counted to the
    # gradients of weights, which fill a zero bubble: where kernels of theirs gain more than half, they fill less.
    tooth = 1e-3 if cut["schedule"] in ("zb1p", "zb2p", "dualpipe") else 0
    assert fast <= slow * (ROUNDING + tooth)


# ---- collectives


@given(st.sampled_from(["DGX H100", "DGX A100", "TPU v5e pod"]), st.floats(1.0, 1e11), st.integers(1, 8))
@pytest.mark.parametrize("collective", collectives.COLLECTIVES)
def test_more_bytes_or_ranks_of_a_domain_are_never_faster(collective, name, message, ranks):
    rest = {"tiers": system(name).tiers, "efficiency": collectives.fitted()}
    more = message * np.array([1.0, 1.1, 2.0, 8.0])
    found = collectives.collective_time(collective, more, ranks=ranks, **rest).seconds
    assert np.all(np.diff(found) >= -1e-9 * found[:-1])
    if tori.placed(system(name).tiers[0], ranks):
        return  # a larger slice has the use of more links: four chips in a square two, three in a line one
    counts = np.arange(1, 9)
    found = collectives.collective_time(collective, message, ranks=counts, **rest).seconds
    # A switch that sums takes (n + 1)/n messages of n ranks, so one rank more may save 1/(n + 1)^2.
    tooth = 1 / (counts[:-1] + 1) ** 2 if collective == "all_reduce" and name == "DGX H100" else 0.0
    assert collective == "p2p" or np.all(np.diff(found) >= -(tooth + 1e-9) * found[:-1])
