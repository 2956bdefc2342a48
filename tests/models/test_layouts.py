"""Layouts: every rule by its own breach, the nearest that is allowed, and how stages share a model's layers."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bottlenecks.facts.architectures import Model
from bottlenecks.models import layouts
from bottlenecks.models.layouts import Layout

DENSE = Model(name="d", layers=12, width=64, ffn_width=256, heads=8, kv_heads=8, head_values=8, vocab=100)
MIXED = replace(DENSE, experts=6, experts_per_token=2, expert_width=64)
TP, STAGES, EVEN, RAGGED, BLOCKS = (
    "tp must divide the heads",
    "pp x vpp must be at most the layers",
    "interleaved stages must hold equal chunks",
    "interleaved micro-batches must be a multiple of the stages",
    "cp must leave whole blocks of 128 tokens",
)
EXPERTS, RANKS = "ep must divide the experts", "ep must divide dp x cp"


@pytest.mark.parametrize(
    ("model", "fields", "rules"),
    [
        (DENSE, {"tp": 8}, ()),
        (DENSE, {"tp": 3}, (TP,)),
        (DENSE, {"tp": 16}, (TP,)),
        (DENSE, {"pp": 12}, ()),
        (DENSE, {"pp": 13}, (STAGES,)),
        (DENSE, {"pp": 14}, ()),  # embedding and head stand for a layer each
        (DENSE, {"pp": 15}, (STAGES,)),
        (DENSE, {"pp": 5}, ()),  # layers need not come out even
        (DENSE, {"pp": 5, "schedule": "interleaved", "micro_batches": 10}, (EVEN,)),
        (DENSE, {"pp": 2, "vpp": 3, "schedule": "interleaved", "micro_batches": 4}, ()),
        (DENSE, {"pp": 2, "vpp": 3, "schedule": "interleaved", "micro_batches": 3}, (RAGGED,)),
        (DENSE, {"pp": 2, "micro_batches": 3}, ()),
        (DENSE, {"pp": 7, "schedule": "interleaved", "micro_batches": 7}, ()),  # 14 slots over 7
        (DENSE, {"cp": 8}, ()),  # 1,024 tokens: 128 a rank
        (DENSE, {"cp": 16}, (BLOCKS,)),
        (DENSE, {"cp": 1, "seq_len": 100}, ()),
        (DENSE, {"cp": 2, "seq_len": 100}, (BLOCKS,)),
        (MIXED, {"ep": 3, "dp": 3}, ()),
        (MIXED, {"ep": 3, "dp": 1, "cp": 3, "seq_len": 384}, ()),
        (MIXED, {"ep": 4, "dp": 4}, (EXPERTS,)),
        (MIXED, {"ep": 3, "dp": 4}, (RANKS,)),
        (DENSE, {"ep": 4, "dp": 2}, ()),
    ],
)
def test_what_breaks_a_rule(model, fields, rules):
    x = SimpleNamespace(**{"tp": 1, "pp": 1, "vpp": 1, "dp": 1, "cp": 1, "ep": 1} | _REST | fields)
    assert tuple(rule for rule, where in layouts.broken(model, x).items() if np.any(where)) == rules
    assert bool(layouts.legal(model, x)) == (not rules)


_REST = {"micro_batches": 4, "seq_len": 1024, "schedule": "1f1b"}


def test_many_layouts_at_once():
    x = SimpleNamespace(tp=np.array([1, 3, 8, 16]), pp=1, vpp=1, dp=1, cp=1, ep=1, **_REST)
    assert layouts.legal(DENSE, x).tolist() == [True, False, True, False]


def test_layouts_that_another_stands_for():
    def twice(**fields):
        return bool(layouts.twice(Layout(**{"seq_len": 128} | fields)))

    assert not twice() and twice(schedule="gpipe") and not twice(schedule="gpipe", pp=2)
    assert twice(zero=1) and not twice(zero=1, dp=2) and not twice(zero=1, cp=2)
    assert not twice(zero=3, dp=2) and not twice(zero=3, dp=2, pp=2) and not twice(zero=2, dp=2, pp=2)


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        (DENSE, {"tp": 5}, r"tp must divide the heads of d \(8\), got 5; the nearest is 4"),
        (MIXED, {"ep": 5, "dp": 5}, r"experts of d \(6\), got 5; the nearest is 6"),
        (MIXED, {"ep": 3, "dp": 4}, r"ep must divide the dp x cp \(4\), got 3; the nearest is 2"),
        (DENSE, {"pp": 5, "vpp": 3}, "at most 12, the layers of d, got 15; the nearest is 12"),
        (DENSE, {"pp": 5, "vpp": 3, "embedding_slots": True}, "at most 14, the layers of d, got 15; the nearest is 14"),
        (replace(DENSE, encoder_layers=2), {}, "two stacks"),
    ],
)
def test_a_breach_is_told_with_the_nearest(model, fields, message):
    with pytest.raises(ValueError, match=message):
        layouts.check(model, Layout(**{"seq_len": 128} | fields))


def test_what_is_allowed_passes():
    layouts.check(DENSE, Layout(seq_len=128, tp=8, pp=12))
    layouts.check(DENSE, Layout(seq_len=128, pp=14, embedding_slots=True))
    layouts.check(MIXED, Layout(seq_len=128, ep=6, dp=2, cp=3))


def test_stages_by_hand():
    # 12 layers in 5 stages: 3, 3, 3, 3 and none; with a slot for embedding and head each 14: 2, 3, 3, 3, 1
    def shared(**fields):
        found = [layouts.stage_layers(DENSE, Layout(seq_len=128, pp=5, **fields), stage) for stage in range(5)]
        return [(int(start), int(layers)) for start, layers in found]

    assert shared() == [(0, 3), (3, 3), (6, 3), (9, 3), (12, 0)]
    assert shared(embedding_slots=True) == [(0, 2), (2, 3), (5, 3), (8, 3), (11, 1)]
    fullest = [
        tuple(int(v) for v in layouts.fullest_stages(DENSE, Layout(seq_len=128, pp=pp, embedding_slots=slots)))
        for pp, slots in ((1, False), (5, False), (5, True), (2, True))
    ]
    assert fullest == [(12, 12), (3, 0), (3, 1), (6, 6)]


def test_numbers_of_a_layout():
    layout = Layout(seq_len=4096, tp=2, pp=3, dp=4, cp=8, micro_batch=2, ep=4)
    assert layout.chips == 192 and layout.tokens == 1024
    for name, wrong, nearest in (("zero", 4, 3), ("offloaded_states", 1.5, 1), ("tp", 1.5, 2)):
        with pytest.raises(ValueError, match=f"Layout.{name} .*the nearest is {nearest}"):
            Layout(seq_len=128, **{name: wrong})
    for name in ("tp", "micro_batch", "seq_len", "value_bytes"):
        with pytest.raises(ValueError, match=f"Layout.{name}"):
            Layout(**{"seq_len": 128} | {name: 0})
    assert Layout(seq_len=128, zero=3, offloaded_states=1, lora_rank=0, bucket_bytes=0).zero == 3
    with pytest.raises(ValueError, match="Layout.sp must be True or False"):
        Layout(seq_len=128, sp=1)
    with pytest.raises(ValueError, match="1f1b"):
        Layout(seq_len=128, schedule="1f1")
