"""Rent: a mechanism is switched off and on again, does something while it is on, and its table is read dearest first."""

from itertools import chain

import numpy as np
import pytest

from bottlenecks import data
from bottlenecks.facts import corpus
from bottlenecks.measured import frame, rent

EACH = [(kind, mechanism) for kind, known in rent.MECHANISMS.items() for mechanism in known]

# rows of a reader's own that show the mechanisms; what a row leaves out is blank
DENSE = {"chip": "H100 SXM5", "n_chips": 64, "model": "Llama-3-70B", "seq_len": 8192, "global_batch_seqs": 128}
CUT = {"tp": 4, "pp": 4, "micro_batch": 1}
EXPERTS = DENSE | {"model": "Qwen3-30B-A3B", "tp": 2, "pp": 1, "ep": 16, "micro_batch": 1, "seq_len": 4096}
FAST = EXPERTS | {"chip": "B200 SXM (HGX)", "n_chips": 8, "tp": 1, "ep": 8, "compute_dtype": "fp8", "recompute": "none"}
STEP = {"chip": "H100 SXM5", "n_chips": 1, "model": "Llama-3-8B", "phase": "decode", "batch": 8, "input_len": 1000}
STEP |= {"output_len": 200, "weight_dtype": "bf16"}
MANY = STEP | {"n_chips": 8, "tp": 8, "model": "Llama-3-70B"}
PROMPT = STEP | {"phase": "prefill", "input_len": 4096}
PRODUCT = {"chip": "H100 SXM5", "kernel": "matmul", "dtype": "bf16", "m": 8192, "n": 8192, "k": 8192}
CALL = {"collective": "all_reduce", "chip": "H100 SXM5", "n_gpus": 16, "n_nodes": 2, "network": "8x400Gb InfiniBand"}
ROWS = {
    "training": [
        DENSE | CUT | {"software_date": "2025-08", "program": "user"},
        DENSE | {"software_date": "2025-08"},
        DENSE | CUT,
        DENSE | CUT | {"software_date": "2025-08", "compute_dtype": "fp8"},
        DENSE | CUT | {"software_date": "2021-06"},
        EXPERTS | {"software_date": "2025-08"},
        FAST | {"software_date": "2025-08"},
    ],
    "inference": [
        MANY,
        PROMPT | {"chip": "L40S"},
        PROMPT | {"software": "llama.cpp", "chip": "RTX 4090", "weight_dtype": "Q4_K_M"},
        STEP | {"software": "eager PyTorch"},
        STEP | {"software": "Optimum Habana", "chip": "Gaudi 3"},
        STEP | {"weight_dtype": ""},
        MANY | {"model": "DeepSeek-V3", "weight_dtype": "fp8", "chip": "H200 SXM"},
        MANY | {"phase": "end_to_end", "tp": "", "load": "saturated", "batch": 256, "model": "Llama-3-8B"},
        MANY | {"software": "TensorRT-LLM", "software_date": "2024-06", "weight_dtype": "fp8"},
    ],
    "kernels": [
        PRODUCT | {"program": "user"},
        PRODUCT | {"m": 130, "n": 2048, "k": 2048},
        PRODUCT | {"chip": "H100"},
        PRODUCT | {"chip": "L40S"},
        {"chip": "A100 SXM 80GB", "kernel": "stream copy", "bytes": 1e6},
    ],
    "collectives": [
        CALL | {"message_bytes": 2.0**n, "network": network}
        for n in (10, 24, 33)
        for network in ("8x400Gb InfiniBand per node", "EFA 3200 Gb/s per node")
    ],
}


def columns_of(kind, folder):
    """The made-up rows of a kind, as a reader's file has them."""
    path, names = folder / f"{kind}.csv", list(dict.fromkeys(chain.from_iterable(ROWS[kind])))
    lines = [names, *([str(row.get(name, "")) for name in names] for row in ROWS[kind])]
    path.write_text("\n".join(",".join(f'"{cell}"' for cell in line) for line in lines))
    return corpus.read(path, kind).columns


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """Of each kind the made-up rows, and (predicted, low, high) of each as the models are."""
    folder = tmp_path_factory.mktemp("rent")
    columns = {kind: columns_of(kind, folder) for kind in ROWS}
    return {kind: (rows, numbers(kind, rows)) for kind, rows in columns.items()}


def numbers(kind, rows):
    found = frame.predict(kind, rows, owners=False)
    assert found["reason"].tolist() == [""] * len(ROWS[kind])
    return np.array([found[name] for name in ("predicted", "low", "high")])


@pytest.mark.parametrize(("kind", "mechanism"), EACH)
def test_a_mechanism_does_something_and_comes_back(predicted, kind, mechanism):
    rows, before = predicted[kind]
    with rent.without(kind, mechanism):
        without = numbers(kind, rows)
    assert np.abs(np.log(without / before)).max() > 1e-4
    np.testing.assert_array_equal(numbers(kind, rows), before)


def places(kind, mechanism):
    """(where, name) of all that a mechanism sets."""
    found = rent.MECHANISMS[kind][mechanism]
    return [(where, name) for where, name, _ in (found() if callable(found) else found)]


@pytest.mark.parametrize("kind", rent.MECHANISMS)
def test_everything_is_as_it_was_afterwards_also_where_something_fails(kind):
    for mechanism in rent.MECHANISMS[kind]:
        asked = places(kind, mechanism)
        before = [getattr(where, name) for where, name in asked]
        with pytest.raises(ZeroDivisionError), rent.without(kind, mechanism):
            inside = [getattr(where, name) for where, name in asked]
            1 / 0  # noqa: B018
        assert [getattr(where, name) for where, name in asked] == before
        assert all(a is not b for a, b in zip(inside, before, strict=True)), mechanism
        assert len(set(asked)) == len(asked), mechanism  # the second would undo the first


def test_an_unknown_mechanism_gets_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'tiles and waves'"), rent.without("kernels", "tile and waves"):
        pass


def test_rent_by_hand(monkeypatch):
    """Two sources: 0.20 and 0.40 with all, 0.30 and 0.40 without practice, 0.20 and 0.38 without the watts."""
    of = [np.array(each) for each in ((0.2, 0.4), (0.3, 0.4), (0.2, 0.38))]
    errors = iter([(each, 0.2, 0.8) for each in of])
    monkeypatch.setattr(rent, "error", lambda kind: next(errors))
    monkeypatch.setattr(rent, "MECHANISMS", {"kernels": {name: [] for name in ("practice", "watts bound the rate")}})
    first, *rest = rent.fresh("kernels")
    assert (first["mechanism"], first["error"], first["rent"]) == ("all mechanisms", "0.3000", "0.0000")
    assert [line["rent"] for line in rest] == ["0.0500", "-0.0100"]
    assert [line["deviation"] for line in rest] == ["0.0500", "0.0100"]  # 0.1 / 2^0.5 and 0.02 / 2^0.5, each over 2^0.5


def test_the_table_is_dearest_first(monkeypatch):
    rows = [
        {"kind": "kernels", "mechanism": name, "rent": paid}
        for name, paid in (("all mechanisms", "0.0"), ("a", "-0.01"), ("b", "0.2"), ("c", "0.1"))
    ]
    monkeypatch.setattr(data, "rows", lambda table: [*rows, rows[0] | {"kind": "training"}])
    assert [row["mechanism"] for row in rent.table("kernels")] == ["all mechanisms", "b", "c", "a"]
