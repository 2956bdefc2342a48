"""Splitting: layouts by hand, sends against the laws, schedules against their bubbles and memory."""

from dataclasses import replace

import numpy as np
import pytest

from bottlenecks.facts.architectures import model
from bottlenecks.facts.networks import system
from bottlenecks.laws import pipelines, recomputation, traffic
from bottlenecks.measured.memory import gpt
from bottlenecks.models import footprint, layer, training
from bottlenecks.models.layouts import Layout
from bottlenecks.models.machine import machine
from bottlenecks.models.software import release
from bottlenecks.studies import search, splitting

SMALL = gpt(8, 1024, 16, vocab=51200)
ON = machine(system("DGX H100"))
SCHEDULES = [("gpipe", 1), ("1f1b", 1), ("interleaved", 2), ("interleaved", 4), ("zb1p", 1)]


# ---- ways


def test_ways_by_hand():
    """64 chips, 32 sequences, 16 heads, 8 layers, two stages in the mix."""
    names, x = splitting.ways(SMALL, chips=64, batch=32, seq_len=2048, mix=2)
    cut = dict(zip(names, zip(x.tp.tolist(), x.pp.tolist(), x.dp.tolist(), strict=True), strict=True))
    assert cut["copies"] == cut["zero 1"] == cut["zero 3"] == (1, 1, 32)  # no more than sequences
    assert cut["tensor, one machine"] == (8, 1, 8)
    assert cut["tensor"] == (16, 1, 4)
    assert cut["pipeline"] == (1, 8, 8)
    assert cut["mix"] == cut["mix, interleaved"] == (8, 2, 4)
    assert np.all(x.dp * x.micro_batches == 32)
    assert x.vpp.tolist() == [1] * 7 + [4]  # four layers a stage, eight micro-batches for two stages
    assert x.gathers_once.tolist() == [False] * 7 + [True]


def test_ways_on_one_chip_are_all_alike():
    _, x = splitting.ways(SMALL, chips=1, batch=4, seq_len=2048, mix=4)
    assert np.all(x.chips == 1) and np.all(x.micro_batches == 4)


# ---- one dimension alone


def grown(shape=SMALL, **changed):
    options = {"software": "2024", "tokens": 2**18, "seq_len": 2048} | changed
    return splitting.alone(shape, ON, **options)


def test_a_dimension_starts_at_one_chip_and_ends_at_its_last_part():
    found = grown()
    last = {d: found["ranks"][found["dimension"] == d].max() for d in set(found["dimension"].tolist())}
    assert last == {"tensor": 16, "pipeline": 8, "context": 16, "data": 128}
    one = found["ranks"] == 1
    assert found["efficiency"][one] == pytest.approx(1)
    assert found["sent"][one] == pytest.approx(0)
    assert np.ptp(found["bytes"][one]) == 0
    work = found["efficiency"] * found["ranks"] * found["seconds"]
    assert work == pytest.approx(work[0])


def test_experts_are_a_dimension_of_mixtures():
    found = grown(model("DeepSeek-V3"), tokens=2**20)
    mine = found["dimension"] == "expert"
    assert found["ranks"][mine].max() == 256
    data = found["dimension"] == "data"
    assert found["bytes"][mine][-1] < found["bytes"][data & (found["ranks"] == 256)]


def test_micro_batches_hide_no_tensor_parallel_traffic():
    """The tokens cancel: twice the micro-batches, the same ratio; of copies it halves."""
    few, many = (Layout(tp=8, micro_batches=m, seq_len=2048) for m in (4, 8))
    alike = [splitting.sent_over_computed(SMALL, x, ON, software="2024") for x in (few, many)]
    assert alike[0] == pytest.approx(alike[1]) and alike[0] > 0
    few, many = (Layout(dp=8, zero=1, micro_batches=m, seq_len=2048) for m in (4, 8))
    halved = [splitting.sent_over_computed(SMALL, x, ON, software="2024") for x in (few, many)]
    assert halved[0] == pytest.approx(2 * halved[1])


def test_sending_does_not_depend_on_what_an_era_hides():
    layout = Layout(tp=4, dp=4, cp=2, pp=2, zero=1, micro_batches=4, seq_len=8192)
    software = release("2024")
    other = replace(software, overlaps_tensor=0.1, overlaps_gradients=False)
    first, second = (splitting.sent_over_computed(SMALL, layout, ON, software=e) for e in (software, other))
    assert first == second


def test_keys_that_nothing_hides_are_the_steps_own_row():
    """Where attention is far shorter than the journey of its keys, all of the journey but that is open."""
    layout = Layout(cp=2, micro_batches=1, seq_len=2048)
    around = 3 * layer.layer(SMALL, layout, ON, release("2024"))["context_s"] * SMALL.layers
    step = training.step(SMALL, layout, on=ON, software="2024", memory=False)
    computing = sum(step.rows[name] for name in splitting.COMPUTING)
    found = splitting.sent_over_computed(SMALL, replace(layout, dp=1), ON, software="2024") * computing
    bare = replace(release("2024"), overlaps_gradients=False, overlaps_weights=False)
    opened = training.step(SMALL, layout, on=ON, software=bare, memory=False).rows["data parallel"]
    assert found == pytest.approx(around + opened)


# ---- what each cut sends


def test_one_chip_sends_nothing():
    assert set(splitting.sent_bytes(SMALL, Layout(seq_len=2048)).values()) == {0.0}


def test_bytes_by_hand():
    """Two ranks of each, four micro-batches of 2,048 tokens, 1,024 values of 2 bytes: 4 MiB a stream."""
    stream = 2**22
    x = Layout(tp=2, sp=False, micro_batches=4, seq_len=2048)
    assert splitting.sent_bytes(SMALL, x)["tensor"] == 8 * stream / 2 * 8 * 4
    assert splitting.sent_bytes(SMALL, replace(x, recompute="full"))["tensor"] == 12 * stream / 2 * 8 * 4
    assert splitting.sent_bytes(SMALL, replace(x, sp=True))["tensor"] == 10 * stream / 2 * 8 * 4
    x = Layout(cp=2, micro_batches=4, seq_len=2048)  # half the tokens; keys and values are as wide
    assert splitting.sent_bytes(SMALL, x)["context"] == 3 * 2 * (stream / 2) * 8 * 4
    x = Layout(pp=2, micro_batches=4, seq_len=2048)
    assert splitting.sent_bytes(SMALL, x)["pipeline"] == 2 * stream * 4
    x = replace(x, vpp=2, schedule="interleaved")
    assert splitting.sent_bytes(SMALL, x)["pipeline"] == 4 * stream * 4


@pytest.mark.parametrize(("zero", "each"), [(0, 8), (1, 6), (2, 6), (3, 8 * 4)])
def test_gradients_and_weights_by_hand(zero, each):
    x = Layout(dp=4, zero=zero, micro_batches=4, seq_len=2048)
    params = sum(footprint.stage_params(SMALL, x, 0).values())
    assert splitting.sent_bytes(SMALL, x)["data"] == each * params * 3 / 4
    if zero == 3:
        x = replace(x, gathers_once=True)
        assert splitting.sent_bytes(SMALL, x)["data"] == 6 * params * 3 / 4


def test_bytes_agree_with_the_laws():
    """Rates of one: bytes over operations."""
    rates = {"value_bytes": 2, "flop_per_s": 1.0, "bytes_per_s": 1.0}
    tokens = 4 * 2048
    layer = footprint.stage_params(SMALL, Layout(seq_len=2048), 0)["blocks"] / SMALL.layers
    sent = splitting.sent_bytes(SMALL, Layout(tp=8, sp=False, micro_batches=4, seq_len=2048))
    law = traffic.tensor_parallel_ratio(8, width=1024, layer_params=layer, **rates)
    assert sent["tensor"] / (6 * layer / 8 * tokens * SMALL.layers) == pytest.approx(law)
    mixture = model("DeepSeek-V3")
    x = Layout(ep=256, dp=256, micro_batches=4, seq_len=2048)
    used = mixture.experts_per_token * (mixture.layers - mixture.dense_layers)
    work = 18 * mixture.width * mixture.expert_width * used * tokens
    law = traffic.expert_parallel_ratio(expert_width=mixture.expert_width, **rates)
    assert splitting.sent_bytes(mixture, x)["expert"] / work == pytest.approx(law * 255 / 256)


def test_layouts_in_arrays_and_choices_as_indices():
    full = recomputation.POLICIES.index("full")
    many = splitting.sent_bytes(SMALL, Layout(tp=np.array([1, 2, 4]), recompute=np.array([0, 0, full]), seq_len=2048))
    single = splitting.sent_bytes(SMALL, Layout(tp=4, recompute="full", seq_len=2048))
    assert many["tensor"].tolist()[2] == single["tensor"] and many["tensor"][0] == 0


def test_price_table_has_the_dimensions_that_are_cut():
    layout = Layout(tp=2, dp=4, zero=1, micro_batches=4, seq_len=2048)
    rows = splitting.price_table(SMALL, layout, ON, software="2024")
    assert [row["dimension"] for row in rows] == ["tensor", "data"]
    assert rows[1]["what is cut"] == "sequences; states (ZeRO 1)"
    assert [row["when it is sent"] for row in rows] == ["four sums in each layer", "once a step"]
    rows = splitting.price_table(SMALL, replace(layout, zero=3), ON, software="2024")
    assert rows[1]["when it is sent"] == "for each micro-batch"


def test_a_published_layout():
    x = splitting.published("llama3_t4", 1)
    assert (x.tp, x.pp, x.dp, x.cp, x.seq_len) == (8, 16, 128, 1, 8192)
    assert x.dp * x.micro_batch * x.micro_batches == 2048
    assert splitting.published("llama3_t4", 2).cp == 16
    with pytest.raises(ValueError, match="source 'llama3_t5' is unknown; did you mean 'llama3_t4'"):
        splitting.published("llama3_t5", 0)
    with pytest.raises(ValueError, match="row must be from 0 to 2"):
        splitting.published("llama3_t4", 3)


# ---- the best of a search


def test_best_table_says_what_the_search_found():
    found = search.search(SMALL, ON, chips=16, batch=32, seq_len=2048)
    rows = splitting.best_table(found, 3)
    assert len(rows) == 3 and len({tuple(row) for row in rows}) == 1
    for i, row in enumerate(rows):
        assert row["tensor"] * row["pipeline"] * row["data"] * row.get("context", 1) == 16
        assert row["step"] == splitting.si(found.best["seconds"][i], "s")
    assert "expert" not in rows[0]
    assert len(splitting.best_table(found, 10**6)) == found.best["seconds"].size


# ---- a pipeline in time


def test_a_pipeline_by_hand():
    """Two stages, two micro-batches, 1F1B; forward 1, backward 2."""
    x = splitting.timeline("1f1b", 2, 2)
    told = [
        (s, k, m, a, b)
        for s, k, m, a, b in zip(
            *(x[c].tolist() for c in ("stage", "kind", "micro_batch", "start", "end")), strict=True
        )
    ]
    assert told == [
        (0, "forward", 0, 0, 1),
        (0, "forward", 1, 1, 2),
        (0, "backward", 0, 4, 6),
        (0, "backward", 1, 7, 9),
        (1, "forward", 0, 1, 2),
        (1, "backward", 0, 2, 4),
        (1, "forward", 1, 4, 5),
        (1, "backward", 1, 5, 7),
    ]
    time, kept = splitting.alive(x)
    assert (time.tolist(), kept.tolist()) == ([0, 1, 6, 9], [1, 2, 1, 0])
    assert splitting.idle(x) == pytest.approx(1 / 2)


@pytest.mark.parametrize(("schedule", "chunks"), SCHEDULES)
@pytest.mark.parametrize("stages", [1, 2, 4, 8])
def test_idle_time_and_memory_are_what_the_models_say(schedule, chunks, stages):
    """eq:bubble of `training` and the micro-batches in flight of `memory`, in whole groups of many."""
    m = 4 * stages
    x = splitting.timeline(schedule, stages, m, chunks)
    law = pipelines.bubble_s(1.0, 2.0, 1.0, stages=stages, chunks=chunks, micro_batches=m, schedule=schedule)
    assert splitting.idle(x) * 3 * m == pytest.approx(float(law))
    layout = Layout(pp=stages, vpp=chunks, micro_batches=m, schedule=schedule, seq_len=1)
    assert splitting.alive(x)[1].max() == pytest.approx(float(footprint.in_flight(layout, 0)))


@pytest.mark.parametrize(("schedule", "chunks"), SCHEDULES)
@pytest.mark.parametrize(("stages", "count"), [(4, 8), (3, 3), (4, 1), (1, 5)])
def test_all_work_is_done_once_and_in_its_order(schedule, chunks, stages, count):
    x = splitting.timeline(schedule, stages, count, chunks)
    names = ("stage", "micro_batch", "chunk", "kind")
    keys = list(zip(*(x[c].tolist() for c in names), strict=True))
    kinds = 3 if schedule == "zb1p" else 2
    assert len(keys) == len(set(keys)) == stages * count * chunks * kinds
    for stage in range(stages):
        mine = x["stage"] == stage
        assert np.all(x["start"][mine][1:] >= x["end"][mine][:-1] - 1e-9)  # one thing at a time
        assert np.sum(x["end"][mine] - x["start"][mine]) == pytest.approx(3 * count)
    when = {key: (a, b) for key, a, b in zip(keys, x["start"], x["end"], strict=True)}
    back = "input gradient" if schedule == "zb1p" else "backward"
    for (stage, micro, chunk, kind), (start, _) in when.items():
        here = chunk * stages + stage
        before = []
        if kind == "forward" and here:
            before = [((here - 1) % stages, micro, (here - 1) // stages, "forward")]
        elif kind == back and here + 1 < stages * chunks:
            before = [((here + 1) % stages, micro, (here + 1) // stages, back)]
        elif kind == back:
            before = [(stage, micro, chunk, "forward")]
        elif kind == "weight gradient":
            before = [(stage, micro, chunk, back)]
        assert all(start >= when[key][1] - 1e-9 for key in before)


def test_a_schedule_that_does_not_come_out_names_the_nearest():
    with pytest.raises(ValueError, match=r"multiple of the stages \(4\).* the nearest is 8"):
        splitting.timeline("interleaved", 4, 9, 2)
    with pytest.raises(ValueError, match="schedule '1f1' is unknown; did you mean '1f1b'"):
        splitting.timeline("1f1", 4, 8)


def test_speed_is_read_from_the_table_and_says_what_there_is():
    found = {
        "dimension": np.array(["tensor", "tensor", "data"]),
        "ranks": np.array([1, 2, 1]),
        "efficiency": np.array([1.0, 0.75, 1.0]),
    }
    assert splitting.speed(found, "tensor", 2) == 0.75
    with pytest.raises(ValueError, match=r"tensor ranks must be one of \[1, 2\], got 4"):
        splitting.speed(found, "tensor", 4)
