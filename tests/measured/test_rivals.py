"""Rivals: their errors by hand on a made-up case, floors by hand, and the same rows as the model."""

import numpy as np
import pytest

from bottlenecks.facts import corpus
from bottlenecks.measured import floors, frame, rivals, scores
from bottlenecks.models import kernels

# source, group, family, ln(measured / predicted) of the datasheet
ROWS = [("a", "x", "f", 1.0), ("a", "x", "f", 1.2), ("b", "x", "f", 2.0), ("c", "x", "g", 5.0), ("c", "y", "f", 7.0)]


def made_up(rows):
    sources, groups, families, values = zip(*rows, strict=True)
    return np.array(values), np.array(sources), np.array(groups), np.array(families)


def test_one_number_leaves_the_source_out():
    """Of a's rows that of b, the other of its group and family; of b's the median of a's, the first of two equals."""
    found = rivals.one_number(*made_up(ROWS))
    assert found[:3].tolist() == [2.0, 2.0, 1.0]
    # nobody else has family g: of the group, where a's two rows weigh as much as b's one, 1.0, 1.2 of half the weight, 2.0
    assert found[3] == 1.2
    assert found[4] == 1.2  # nobody else has group y: of all the others
    moved = [(s, g, f, 9.0 if s == "a" else v) for s, g, f, v in ROWS]
    assert rivals.one_number(*made_up(moved))[:2].tolist() == [2.0, 2.0]  # its own measurements have no say


def test_a_median_of_which_every_source_has_the_same_weight():
    values, sources = np.array([1.0, 2.0, 3.0, 10.0]), np.array(["a", "a", "a", "b"])
    assert rivals.weighted_median(values, sources) == 3.0  # three thirds, then one: half is reached at the third
    assert rivals.weighted_median(values[::-1], sources[::-1]) == 3.0


def test_errors_by_hand(monkeypatch):
    found = {
        "datasheet": np.array([1.0, -3.0, 2.0, 9.0]),
        "one number": np.array([0.5, -0.5, 0.2, 9.0]),
        "both": np.array([0.3, -0.3, 0.2, 9.0]),
        "model": np.array([0.1, -0.1, 0.2, 9.0]),
        "source": np.array(["s", "s", "t", "u"]),
        "role": np.array(["held-out", "held-out", "held-out", "fit"]),
        "group": np.array(["x", "x", "y", "x"]),
    }
    monkeypatch.setattr(rivals, "logs", lambda kind: found)
    x, y, every = rivals.rivals("training")
    assert (x["group"], x["sources"], x["rows"]) == ("x", 1, 2) and (every["group"], every["sources"]) == ("all", 2)
    assert [x[name] for name in rivals.NAMES] == pytest.approx([2.0, 0.5, 0.3, 0.1])
    assert y["datasheet"] == 2.0 and every["datasheet"] == pytest.approx((2.0 + 2.0) / 2)
    assert every["model"] == pytest.approx((0.1 + 0.2) / 2)  # s and t count alike


@pytest.mark.parametrize("kind", frame.KINDS)
def test_rivals_are_scored_on_the_rows_of_the_model(kind):
    lines = {r["group"]: r for r in scores.summary(scores.score(kind)) if r["role"] == "held-out"}
    found = {line["group"]: line for line in rivals.rivals(kind)}
    every = found.pop("all")
    assert lines.keys() == found.keys() and every["rows"] == sum(line["rows"] for line in lines.values())
    for group, line in found.items():
        assert (line["sources"], line["rows"]) == (lines[group]["sources"], lines[group]["rows"]), group
        assert line["model"] == pytest.approx(lines[group]["error"])
    *shown, last = rivals.rivals_table(kind, most=4)
    assert len(shown) == min(len(found), 3) and last["model"] == f"{every['model']:.0%}"
    left = [line["sources"] for group, line in found.items() if group not in {line["group"] for line in shown}]
    assert min(line["sources"] for line in shown) >= max(left, default=0)  # those with most sources
    told = rivals.summary(kind)
    assert told["model"]["error"] == pytest.approx(every["model"]) and told["rows"] == every["rows"]
    both = rivals.logs(kind)
    np.testing.assert_allclose(both["both"], (both["model"] + both["one number"]) / 2)


# ---- floors


def test_the_peak_of_a_step_by_hand():
    # Korthikanti's 175 billion: 96 layers of 12 x 12,288^2 and a head of 51,200 x 12,288, 64 x 2,048 tokens on 64 A100
    found, rows = scores.table("training"), corpus.table("training")
    mine = (rows["model"] == "GPT-175B") & (rows["n_chips"] == 64)
    params = 96 * 12 * 12288**2 + 51200 * 12288
    attention = 96 * 12288 * 2048  # the causal half, in parameters' worth of six operations
    assert found["floor_s"][mine] == pytest.approx(6 * (params + attention) * 2048 / 312e12, rel=0.01)


def floor(kind, mask):
    rows = corpus.where(corpus.table(kind), np.flatnonzero(mask)[:1])
    return floors.floor_s(kind, frame.KINDS[kind].cases(rows))


def test_the_floor_of_a_decode_step_by_hand():
    rows = corpus.table("inference")
    mine = (rows["model"] == "Llama-3-8B") & (rows["chip_name"] == "RTX 3070") & (rows["phase"] == "decode")
    # 32 layers of 218.1e6 and a head of 525.3e6; Q4_K_M stores 4.85 bits or so; 448 GB/s
    assert floor("inference", mine) == pytest.approx(7.505e9 * 4.85 / 8 / 448e9, rel=0.05)


def test_the_floors_of_kernels_by_hand():
    rows = corpus.table("kernels")
    cube = (rows["m"] == 4096) & (rows["n"] == 4096) & (rows["k"] == 4096) & (rows["chip_name"] == "A100 SXM 80GB")
    assert floor("kernels", cube & (rows["dtype"] == "fp16")) == pytest.approx(2 * 4096**3 / 312e12)
    added = (rows["kernel"] == "elementwise residual add") & (rows["chip_name"] == "A100 SXM 80GB")
    assert floor("kernels", added) == pytest.approx(rows["bytes"][added][0] / 2.039e12)


def test_the_floor_of_an_all_reduce_by_hand():
    # 2 x 7 / 8 of 2^30 bytes at 300 GB/s of an A100's links, one direction
    rows = corpus.table("collectives")
    mine = (rows["chip_name"] == "A100 SXM 80GB") & (rows["collective"] == "all_reduce") & (rows["n_gpus"] == 8)
    mine &= (rows["n_nodes"] == 1) & (rows["message_bytes"] == 2**30)
    assert floor("collectives", mine) == pytest.approx(1.75 * 2**30 / 300e9)
    # over two machines of eight, whose four ports of 200 Gbit/s carry 100 GB/s together
    ports = (rows["network"] == "4x200Gb InfiniBand per node") & (rows["collective"] == "all_reduce")
    ports &= np.isfinite(rows["message_bytes"]) & (rows["n_gpus"] == 16)
    assert floor("collectives", ports) == pytest.approx(2 * 15 / 16 * rows["message_bytes"][ports][0] / 100e9)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="training"):
        rivals.rivals("trainin")


@pytest.mark.parametrize("kind", frame.KINDS)
def test_tiers_share_the_held_out_rows(kind):
    found, every = rivals.tiers(kind), rivals.summary(kind)
    assert sum(line["rows"] for line in found.values()) == every["rows"]
    assert max(line["sources"] for line in found.values()) <= every["sources"]


def test_a_tier_is_what_was_measured_of_a_family():
    assert [kernels.swept(family) for family in ("Hopper", "Blackwell", "TPU", "Apple", "CDNA 3")] == [
        True,
        True,
        False,
        False,
        False,
    ]
