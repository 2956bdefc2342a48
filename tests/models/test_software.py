"""Releases of software: what a row states, what it takes from its base, and that every switch moves what it names."""

from dataclasses import replace

import pytest

from bottlenecks import data
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.models import inference, training
from bottlenecks.models.inference import Plan
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import machine
from bottlenecks.models.software import SERVER, SWITCHES, Software, at, release, stacks, years

ON, MIXTURE = machine(chip("H100 SXM5"), "fp8"), model("Qwen3-30B-A3B")
DENSE = model("Llama-3-8B")
WIDE = Layout(tp=16, dp=4, micro_batches=4, seq_len=4096)
STAGED = Layout(tp=2, pp=4, vpp=2, dp=2, zero=1, micro_batches=8, seq_len=4096, schedule="interleaved")
SHARDED = Layout(dp=64, zero=3, micro_batches=2, seq_len=2048)
DEALT = Layout(tp=2, dp=64, ep=32, zero=1, micro_batches=2, seq_len=4096)


def test_a_release_states_only_what_it_does_otherwise():
    for row in data.rows("software"):
        for name in SWITCHES:
            assert (
                row[name][:6] in ("", "yes", "no", "fitted") or float(row[name]) >= 0
                if SWITCHES[name] is not str
                else True
            )
    tuned, own = at("tuned", "2024-10"), at("torchtitan", "2024-10")
    assert (own.attention, own.tuned_attention) == ("fused", 1.0)
    assert replace(own, name="", attention="", tuned_attention=0).overlaps_tensor == tuned.overlaps_tensor == 0.8


def test_years_are_the_tuned_stack():
    assert list(years()) == sorted(years()) and release("2022").gradient_bytes == 4
    assert release("2024", "Hopper").attention == "fused"  # its new kernels came into use a year later
    assert release("2024", "Blackwell").attention == "best"


def test_names_are_helped():
    with pytest.raises(ValueError, match="did you mean 'torchtitan'"):
        release("torchtitn")
    assert release(SERVER) is SERVER and release("vLLM 2023-07").captured is False
    assert {release(stack).name.split()[0] for stack in stacks()}


MOVES = {  # switch: another value, and what then takes another time
    "attention": ("unfused", "training dense"),
    "mask_fused": (False, "training unfused"),
    "fuses_casts": (False, "training dense"),
    "traffic": (2.0, "training dense"),
    "joined": (False, "serving"),
    "value_bytes": (4.0, "serving apart"),
    "casts": (True, "prefill apart"),
    "unpacks": (True, "prefill narrow"),
    "host_s": (6e-4, "training dense"),
    "captured": (False, "serving"),
    "host_layer_s": (1e-2, "serving"),
    "overlaps_gradients": (False, "training copies"),
    "overlaps_weights": (False, "training copies"),
    "overlaps_sends": (False, "training staged"),
    "overlaps_tensor": (0.4, "training wide"),
    "one_port": (True, "training sharded"),
    "folds_experts": (False, "training dealt"),
    "sends_once": (True, "training dealt"),
    "scatters_sends": (False, "training whole"),
    "gradient_bytes": (2.0, "training copies"),
    "stolen": (0.5, "training staged"),
    "per_joule": (1.05, "training wide"),
    "tuned_attention": (0.9, "training fused"),
}
QUEUES = {"part_tokens", "parts_ahead", "queue"}  # of prompts on a pipeline: tests/models/test_engines.py
# how a measured row is served, and what it reads: tests/measured/test_inference.py, tests/models/test_inference.py
SERVED = {"shots", "python_host", "sums_in_16_bits", "static", "every_expert"}


def _seconds(where, software):
    kind, _, how = where.partition(" ")
    if kind == "training":
        layout = {
            "staged": STAGED,
            "sharded": SHARDED,
            "whole": replace(STAGED, sp=False),
            "dealt": DEALT,
            "copies": replace(STAGED, vpp=1, dp=16, schedule="1f1b"),
        }
        shape = MIXTURE if how == "dealt" else DENSE
        if how in ("unfused", "fused"):
            software = replace(software, attention=how)
        on = machine(chip("H100 SXM5")) if how == "wide" else ON
        return float(training.seconds(shape, layout.get(how, replace(WIDE, tp=8)), on=on, software=software))
    software = replace(software, joined=how in ("", "narrow") and software.joined)
    plan = Plan(tp=2, software=software, weight_format="int4_g32" if how == "narrow" else "bf16")
    if kind == "prefill":
        plan = replace(plan, software=replace(software, joined=False))
        return float(inference.prefill_s(DENSE, plan, machine(chip("H100 SXM5")), batch=1, prompt=512))
    return float(inference.decode_s(DENSE, plan, machine(chip("H100 SXM5")), batch=1, context=512))


@pytest.mark.parametrize("switch", MOVES)
def test_every_switch_moves_something(switch):
    value, where = MOVES[switch]
    base = release("2024") if where.startswith("training") else SERVER
    assert getattr(base, switch) != value
    assert _seconds(where, base) != _seconds(where, replace(base, **{switch: value}))


def test_every_switch_is_tried():
    assert set(MOVES) | QUEUES | SERVED == set(SWITCHES) and isinstance(SERVER, Software)


def test_a_chips_own_release_holds_for_its_date_alone():
    assert [release(year, "Hopper").attention for year in ("2023", "2024", "2025")] == ["fused", "fused", "best"]
    assert [release(year).attention for year in ("2023", "2024", "2025")] == ["fused", "best", "best"]


def test_what_a_compiled_server_does_not_do():
    """It computes in the format that it keeps, runs no Python between kernels, and sums in 32 bits."""
    switches = ("casts", "unpacks", "python_host", "sums_in_16_bits")
    for switch in (*switches, "one_port", "folds_experts", "sends_once"):
        assert getattr(SERVER, switch) is False
    for switch in ("joined", "captured", "mask_fused", "fuses_casts", "overlaps_gradients", "overlaps_weights"):
        assert getattr(SERVER, switch) is True
    assert (SERVER.part_tokens, SERVER.parts_ahead, SERVER.overlaps_tensor, SERVER.host_layer_s) == (0, 1, 0, 0)
    assert SERVER.value_bytes == 2 and SERVER.traffic == SERVER.per_joule == SERVER.tuned_attention == 1
