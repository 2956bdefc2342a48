"""What techniques save and cost, what a host's link hides, terabytes: by hand and by limits."""

import numpy as np
import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.laws import memory as law
from bottlenecks.studies import memory


def test_what_a_layer_keeps_of_a_token_by_hand():
    # Llama 3 8B in 16 bits: two norms and their inputs 4 x 4,096; queries, result 2 x 4,096, keys and values 2 x 1,024; gate, up
    # and their product 3 x 14,336: 69,632 values, and a log-sum-exp of 4 bytes for each of 32 heads. By chance 34 widths.
    kept, times = memory.again("Llama-3-8B", 8192, True)["none"]
    head = 2 * 2 * 4096 / 32  # the head's input, spread over 32 layers
    assert kept == pytest.approx(2 * 69632 + 4 * 32 + head) and times == 1
    assert 2 * 69632 == 34 * 4096


def test_everything_again_keeps_the_layers_inputs():
    kept, times = memory.again("Llama-3-8B", 8192, True)["full"]
    assert kept == pytest.approx(2 * 4096 + 2 * 2 * 4096 / 32)
    assert 1.2 < times < 4 / 3  # a third of the operations more; what is not a pass of the layers stays


def test_policies_that_keep_less_take_longer_when_attention_is_fused():
    found = memory.again("GPT-3 175B", 2048, True)
    assert [found[p][0] for p in ("none", "products", "full")] == sorted(
        (v[0] for k, v in found.items() if k != "selective"), reverse=True
    )
    assert found["none"][1] <= found["selective"][1] <= found["products"][1] <= found["full"][1]


def test_written_scores_are_what_selective_recomputation_saves():
    # 32 heads x 8,192 keys x 2 bytes, but for the log-sum-exp that fused kernels keep
    found = memory.again("Llama-3-8B", 8192, False)
    assert found["none"][0] - found["selective"][0] == pytest.approx(32 * 8192 * 2)


def test_techniques_save_what_the_footprint_says():
    short, long = (memory.techniques(words) for words in memory.SETTINGS)
    by_name = {each["name"]: each for each in short}
    # the loss in eight parts: 8,192 tokens x 128,256 words x 10 bytes, seven eighths of it
    assert by_name["loss in eight parts"]["saved_bytes"] == pytest.approx(7 / 8 * 8192 * 128256 * 10)
    assert by_name["loss in eight parts"]["times"] == pytest.approx(1)
    # attention again saves scores of 32 layers and heads, 2,048 keys, 8,192 tokens, 2 bytes: 34.4 GB
    again = by_name["attention computed again, scores written out"]
    assert again["saved_bytes"] == pytest.approx(32 * 32 * 2048 * 8192 * 2)
    assert again["times"] > 1 > by_name["fused attention"]["times"]
    assert all(each["saved_bytes"] > 0 for each in long)


def test_mixed_precision_saves_no_states():
    # 32-bit Adam keeps 4 + 4 + 8 bytes, mixed precision 2 + 4 + 12: what it saves is activations and buffers
    wide, mixed = law.RECIPES["adam, fp32"], law.RECIPES["adam, fp32 gradients"]
    assert sum(wide[:3]) == 16 and sum(mixed[:3]) == 18


def test_tokens_that_hide_the_host_by_hand():
    # 2 B x 0.4 x 989.4e12 / (6 x 63e9)
    assert memory.hidden_tokens("H100 SXM5", 2) == pytest.approx(2093.97, rel=1e-4)
    assert memory.host_share("H100 SXM5", 2093.97, 2) == pytest.approx(1, rel=1e-4)
    assert np.all(np.diff(memory.host_share("H100 SXM5", np.array([1e3, 1e4, 1e5]), 12)) < 0)


def test_states_of_runs():
    found = memory.states()
    gpt3 = found["name"].tolist().index("GPT-3 175B")
    assert found["state_bytes"][gpt3] == 18 * 175e9  # 3.15 TB
    # on 10,000 V100, whose device reports 31.75 GiB: 315 MB each
    assert found["memory_share"][gpt3] == pytest.approx(3.15e12 / 10000 / (31.75 * 2**30), rel=1e-3)


def test_shares_of_the_limits_add_up():
    for each in memory.limits().values():
        assert sum(each["time"].values()) == pytest.approx(1, abs=1e-4)
        assert sum(each["capacity"].values()) <= 1 + 1e-9


def test_decoding_reads_its_weights_once():
    # LLaMA 13B, one user: 26 GB of weights, 2,048 tokens x 40 layers x 2 x 5,120 values x 2 bytes = 1.68 GB of cache
    found = memory.limits()["decoding LLaMA 13B, one user"]["read"]
    m = model("LLaMA-13B")
    weights = 2 * (m.block_params + m.head_params)
    assert found["cache"] / found["weights"] == pytest.approx(1.678e9 / weights, rel=0.01)
