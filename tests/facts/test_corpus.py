"""Measured tables: every row and column is there, in base SI, with a role, doubts and reprints."""

import math
import re

import numpy as np
import pytest

from bottlenecks import data
from bottlenecks.facts import corpus, tables
from bottlenecks.facts.chips import chip, chips, short_names
from bottlenecks.measured import first_estimate
from bottlenecks.models import collectives

NAMES = list(corpus.TABLES)
each_table = pytest.mark.parametrize("name", NAMES)


def row(name, **cells):
    """The one row of a table in which these columns have these values."""
    table = corpus.table(name)
    mask = np.logical_and.reduce([table[column] == value for column, value in cells.items()])
    assert mask.sum() == 1, f"{mask.sum()} rows of {name} with {cells}"
    return {column: values[mask][0] for column, values in table.items()}


# ---- rows and columns


@each_table
def test_every_row_of_the_file_is_in_the_table(name):
    rows, table = data.rows(corpus.TABLES[name]), corpus.table(name)
    assert len(rows) > 3 and {values.size for values in table.values()} == {len(rows)}
    assert table["source_id"].tolist() == [row["source_id"] for row in rows]


def test_every_data_file_has_a_reader():
    ours = {*corpus.TABLES.values(), *tables.TABLES}
    others = {
        "chips",
        "chip_levels",
        "chip_names",
        "energy",
        "dense_products",
        "equal_constants",
        "era_runs",
        "launch_measured",
        "memory_peaks",
        "power_measured",
        "models",
        "named_runs",
        "corpus_sources",
        "corpus_columns",
        "families",
        *("formats_stored", "cloud_instances", "model_names", "fabrics"),
        *(
            "attention_kernels",
            "attention_forms",
            "attention_phases",
            "attention_quality",
            "choices",
            "practice",
            "rent",
        ),
        *("fresh_scores", "score_history", "peers", "single_user"),
        "kernel_constants",
        "kernel_constant_names",
        "inference_constants",
        "network_constants",
        "software",
        "techniques",
        "training_constants",
        *("scaling_laws", "scaling_optima", "scaling_points", "capability", "rents"),
        *("workloads", "written"),
        *("chapters", "glossary", "notation", "objectives", "rosetta"),
        *(f"predictions_{kind}" for kind in ("kernels", "inference", "collectives", "training")),
    }
    assert set(data.tables()) == ours | others


@each_table
def test_documented_columns_are_the_files_columns(name):
    documented, file = corpus.columns(name), data.rows(corpus.TABLES[name])[0]
    assert list(documented) == list(corpus.table(name))
    assert len(documented) == len(file) + len(corpus.ADDED)
    assert all(unit and meaning for unit, meaning in documented.values())
    texts = {column for column, (unit, _) in documented.items() if unit == "text"}
    assert {c for c, values in corpus.table(name).items() if values.dtype.kind == "U"} == texts


def test_documented_columns_are_used_and_named_after_their_unit():
    files = {name: data.rows(file)[0] for name, file in corpus.TABLES.items()}
    ends = {"s": "s", "B/s": "bytes_per_s", "B": "bytes", "FLOP/s": "flop_per_s"}
    for about in data.rows("corpus_columns"):
        used = [files[about["table"]]] if about["table"] else files.values()
        assert any(about["column"] in columns for columns in used), about
        unit = corpus.UNITS.get(about["unit"], (about["unit"],))[0]
        if unit in ends:
            end = rf"(^|_){ends[unit]}($|_per_chip|_per_output_token|_achieved)"
            assert re.search(end, about["name"]), about


def test_blank_numbers_are_nan_and_nothing_else_is():
    for name, file in corpus.TABLES.items():
        spec = {about["name"]: column for column, about in corpus._about(name).items()}
        texts = data.columns(file)
        for column, values in corpus.table(name).items():
            if values.dtype.kind == "f":
                assert np.isnan(values).tolist() == [not text for text in texts[spec[column]]]


HAND = [  # one printed row of each table: scaled once, by hand
    ("kernels", {"source_id": "azure_guide", "flop_per_s": 228e12}, {"time_s": 602.802e-6}),
    (  # 0.038605 ms
        "kernel_grids",
        {"source_id": "aic_a100_sxm", "kernel": "matmul", "dtype": "bf16", "m": 1, "n": 6144, "k": 4096},
        {"time_s": 38.605e-6},
    ),
    (
        "inference",
        {"source_id": "llamacpp_dai", "chip_name": "RTX 3070", "phase": "decode", "tokens_per_s": 72.79},
        {"s_per_output_token": 0.0137382, "params": 8.03e9},
    ),
    (
        "training",
        {"source_id": "korthikanti2022_t5", "model": "GPT-22B", "recompute": "full"},
        {"step_time_s": 1.42, "params": 22e9, "n_chips": 8},
    ),
    (
        "mlperf_training",
        {"source_id": "mlperf_training_v3.0", "benchmark": "bert", "system": "ESC4000-E11-4xA100-PCIE-80GB-NVBridge"},
        {"time_mean_s": 42.682 * 60, "time_max_s": 45.87 * 60, "n_chips": 4},
    ),
    ("nanogpt_speedrun", {"record": 1, "change": "llm.c baseline"}, {"time_s": 2700.0}),
    (
        "korthikanti2022",
        {"model": "175B"},
        {"step_full_recompute_s": 18.13, "par_opt_bytes": 45.5625 * 2**30, "act_fraction_seqsel": 0.1849},
    ),
    (
        "collectives",
        {"source_id": "mleng_a100", "message_bytes": 65536},
        {"time_s": 46.8e-6, "busbw_bytes_per_s": 2.45e9, "n_gpus": 8},
    ),
    (  # 0.0046797 ms
        "collective_grids",
        {
            "source_id": "aic_a100_sxm",
            "collective": "all_reduce",
            "n_gpus": 2,
            "message_bytes": 8192,
            "library": "TensorRT-LLM 1.0.0, its choice",
        },
        {"time_s": 4.6797e-6, "n_nodes": 1},
    ),
    (
        "nccl_tuning_constants",
        {"source_id": "nccl_tuning", "table": "base latency", "algorithm": "Tree", "protocol": "LL128"},
        {"value": 14e-6, "unit": "s"},
    ),
    (
        "input_pipeline",
        {"system": "DDN: AI400X2T_24x14TiB_nvme_8xNDR200_18clients/unet3d-a100/runs"},
        {"bytes_per_s": 99.7118e9, "samples_per_s": 713.199, "n_hosts": 18},
    ),
    ("stragglers", {"metric": "same with hedged requests after 10 ms"}, {"value": 0.074, "unit": "s"}),
    ("speculative_speedup", {"source_id": "gptfast"}, {"speedup": 1.91683, "chip_name": "A100 SXM 80GB"}),
]


def test_by_hand_covers_every_table():
    assert [name for name, _, _ in HAND] == NAMES


@pytest.mark.parametrize(("name", "cells", "expected"), HAND, ids=NAMES)
def test_units_by_hand(name, cells, expected):
    found = row(name, **cells)
    for column, value in expected.items():
        number = not isinstance(value, str)
        assert found[column] == (pytest.approx(value, rel=1e-6) if number else value), column


def test_an_unknown_table_gets_the_nearest():
    for ask in (corpus.table, corpus.columns):
        with pytest.raises(ValueError, match="did you mean 'collectives'"):
            ask("collective")


# ---- sources


@each_table
def test_each_source_has_one_role_and_its_chips(name):
    table, sources = corpus.table(name), corpus.sources(name)
    assert set(table["source_id"].tolist()) == set(sources)
    listed = [row["source_id"] for row in data.rows("corpus_sources") if row["table"] == name]
    assert len(listed) == len(sources), "one row a source and table"
    for key, source in sources.items():
        mine = table["source_id"] == key
        assert set(table["role"][mine].tolist()) == {source["role"]} <= {"fit", "held-out"}
        assert source["why"] and source["what"], key
        assert re.fullmatch(r"20\d\d(-[01]\d)?", source["published"]), key
        known = {name for name in table["chip_name"][mine].tolist() if name}
        assert known == set(filter(None, source["chips"].split(";"))) <= set(chips()), key


def test_each_source_has_a_name_that_fits_into_a_legend():
    """One name a source, the same in every table, and no other source's; a key that is not known stands for itself."""
    pairs = {(row["source_id"], row["name"]) for row in data.rows("corpus_sources")}
    assert all(0 < len(name) <= 32 and "_" not in name for _, name in pairs)
    assert len(pairs) == len({key for key, _ in pairs}) == len({name for _, name in pairs})
    assert corpus.called("trtllm_v017") == "TensorRT-LLM 0.17" and corpus.called("mine") == "mine"


# The one page with a release on each side: no other source has routed experts on a serving stack.
DIVIDED = {"inference": "trtllm_v10"}


@each_table
def test_no_document_is_on_both_sides(name):
    """Sources of one table that are revisions or sections of one page share a role."""
    roles = {}
    for key, source in corpus.sources(name).items():
        if key == DIVIDED.get(name):
            continue
        page = re.sub(r"/(blob|tree)/[^/]+", "", data.references()[key]["url"])
        roles.setdefault(page, set()).add(source["role"])
    assert all(len(found) == 1 for found in roles.values()), roles


def test_roles_are_those_of_chapter_01():
    fitted = set(first_estimate.achieved()["source_id"].tolist())
    assert {corpus.sources("kernels")[key]["role"] for key in fitted} == {"fit"}
    scored = set(first_estimate.llm_steps()[0]["source_id"].tolist())
    fitted = {key for key in scored if corpus.sources("inference")[key]["role"] == "fit"}
    last = next(row for row in data.rows("inference_constants") if row["constant"] == "last_s")
    assert fitted <= {*data.keys(last["sources"])}  # what sums of several chips wait for is no part of a chip's step


def test_chips_resolve_or_are_named_with_the_reason():
    left = set()
    for name in NAMES:
        table = corpus.table(name)
        spelled = table.get(corpus.SPELLED.get(name, "chip"))
        if spelled is not None:
            left |= set(spelled[(table["chip_name"] == "") & (spelled != "")].tolist())
    named = {name for name, row in short_names().items() if not row["meant"]}
    assert named <= left <= set(short_names())


# ---- doubts


def doubted(name, part):
    return int((np.char.find(corpus.table(name)["suspect"], part) >= 0).sum())


def test_every_doubt_of_a_row_makes_it_suspect():
    tables = [corpus.table(name) for name in NAMES]
    reasons = set().union(*(table["suspect"].tolist() for table in tables)) - {""}
    told = set().union(*(table["doubt"].tolist() for table in tables if "doubt" in table)) - {""}
    assert len(told) > 8
    assert reasons == {
        *told,
        corpus.RECALLED,
        corpus.SHORT_STEPS,
        "above the link in one direction",  # three copies whose rates sum both directions
        "above the dense peak",  # three servers whose prompts cannot all have been computed
    }


def test_suspects_by_hand():
    assert doubted("inference", "flagged by the collector") == 20
    assert row("kernels", kernel="memcpy device to host", chip_name="A100 SXM 80GB", source_id="azure_guide")[
        "suspect"
    ].startswith("unhealthy")
    # 184,320 samples / 16 = 11,520 steps of 0.11089 s are 21.3 minutes; 67.4 were needed.
    assert (
        row("mlperf_training", system="theia_ngpu8_ngc25.09_nemo", benchmark="llama31_8b")["suspect"]
        == corpus.SHORT_STEPS
    )
    assert doubted("mlperf_training", "median_step_s") == 30
    untuned = corpus.table("training")["source_id"] == "bigscience_v100_gpt2"
    assert doubted("training", "untuned") == untuned.sum()
    for name in NAMES:
        if "confidence" in (table := corpus.table(name)):
            assert (table["suspect"][table["confidence"] == "memory"] != "").all(), name


def below(limit, rate, where):
    assert math.isnan(rate) or rate <= limit, where


def test_no_kernel_is_above_peak_or_memory():
    """Exceptions, named: adds whose data stay in the second-level cache, and reads of that cache."""
    table = corpus.table("kernels")
    above = set()
    for i in np.flatnonzero((table["chip_name"] != "") & (table["suspect"] == "")):
        device = chip(table["chip_name"][i])
        peak = device.peaks.get(table["dtype"][i].split("/")[0].split(" ")[0])
        below(peak.flop_per_s if peak else np.inf, table["flop_per_s"][i], i)
        if table["bytes_per_s"][i] > device.memory_bytes_per_s:
            above.add(str(table["kernel"][i]))
    assert above == set(corpus.CACHED)


def test_no_run_is_above_peak():
    table = corpus.table("training")
    for i in np.flatnonzero((table["chip_name"] != "") & (table["suspect"] == "")):
        peaks = [peak.flop_per_s for peak in chip(table["chip_name"][i]).peaks.values()]
        below(max(peaks), table["flop_per_s_per_chip"][i], i)
        assert not table["mfu"][i] > 0.9 and not table["hfu"][i] > 0.9
    for name in ("training", "inference"):
        table = corpus.table(name)
        for roof, rate, limit in corpus.limits(name, table):
            assert (np.isfinite(rate) & np.isfinite(limit)).sum() > 20, roof
            above = {(str(table["source_id"][i]), str(table["model"][i])) for i in np.flatnonzero(rate > limit)}
            # 27,609 answered tokens/s with 15,000 read for 500: x 31 x 2 x 32.8e9 / 2 chips = 28 PFLOP/s, where FP4 has 9
            cached = {("aic_silicon", "Qwen3-32B")} if (name, roof) == ("inference", "dense peak") else set()
            assert above == cached, (name, roof)


def test_no_collective_is_above_its_wires():
    """Exception, named: a switch that adds up on the way makes bus bandwidth outrun the link."""
    table = corpus.table("collectives")
    inside = (table["n_nodes"] == 1) & (table["chip_name"] != "") & (table["suspect"] == "")
    above = []
    for i in np.flatnonzero(inside):
        if table["busbw_bytes_per_s"][i] > chip(table["chip_name"][i]).link_bytes_per_s:
            above.append(i)
            assert table["algbw_bytes_per_s"][i] < chip(table["chip_name"][i]).link_bytes_per_s
    adds = {network.split()[0] for network in table["network"][above].tolist()}
    assert adds == {"NVLink4"} and set(table["collective"][above].tolist()) == {"all_reduce"}
    ((_, rate, limit),) = corpus.limits("collectives", table)
    assert (np.isfinite(rate) & np.isfinite(limit)).sum() > 400 and not (rate > limit).any()


def test_a_wire_by_hand():
    # Rings on 8 H100: 450 GB/s. With sums in the switch a chip sends the message once: 2 x 7/8 of that.
    # 4 nodes of 8 H100 with 400 Gbit/s a chip: 8 x 50 GB/s leave a node, 50 x 31/24 a chip of an all-to-all.
    def wire(**cells):
        known = {
            "chip_name": "H100 SXM5",
            "n_gpus": 8.0,
            "n_nodes": 1.0,
            "collective": "all_gather",
            "in_network": "",
            "one_domain": math.nan,
        }
        return corpus._wire_bytes_per_s({k: np.array([v]) for k, v in (known | cells).items()})[0]

    assert wire() == 450e9
    assert wire(collective="all_reduce") == pytest.approx(787.5e9)
    assert wire(chip_name="A100 SXM 80GB", collective="all_reduce") == 300e9
    assert wire(n_gpus=32.0, n_nodes=4.0) == pytest.approx(400e9)
    assert wire(n_gpus=32.0, n_nodes=4.0, collective="all_to_all") == pytest.approx(64.583e9, rel=1e-4)
    assert math.isnan(wire(chip_name=""))


def test_a_rate_above_its_roof_is_suspect():
    table = {column: values.copy() for column, values in corpus.table("kernels").items()}
    i = int(np.flatnonzero((table["dtype"] == "bf16") & (table["chip_name"] == "H100 SXM5"))[0])
    table["flop_per_s"][i] = 989.5e12
    assert corpus._suspect("kernels", table)[i] == "above the dense peak"


# ---- the same recipe printed again


@each_table
def test_duplicates_point_to_an_earlier_original(name):
    table, published = corpus.table(name), corpus.sources(name)
    again = np.flatnonzero(table["duplicate_of"] >= 0)
    assert bool(again.size) == (name in corpus.RECIPES)
    for i, j in zip(again, table["duplicate_of"][again], strict=True):
        assert table["duplicate_of"][j] == -1 and table["chip"][i] == table["chip"][j]
        dates = [published[table["source_id"][k]]["published"] for k in (j, i)]
        assert dates[0] < dates[1], (i, j)


def test_a_known_pair_by_hand():
    # GPT OSS 120B on 64 GB300 in bf16: 19,412 tokens/s a chip in release 26.02, 19,200 in 26.04.01.
    recipe = {"model": "GPT OSS 120B", "chip": "GB300", "compute_dtype": "BF16"}
    first = row("training", source_id="mbridge_26.02", **recipe)
    again = row("training", source_id="mbridge_26.04.01", **recipe)
    original = {c: values[again["duplicate_of"]] for c, values in corpus.table("training").items()}
    assert first["tokens_per_s_per_chip"] == original["tokens_per_s_per_chip"] == 19412
    assert again["tokens_per_s_per_chip"] == 19200 and first["duplicate_of"] == -1


def test_variants_inside_one_release_are_not_duplicates():
    table = corpus.table("training")
    llama = (table["source_id"] == "mbridge_25.09") & (table["model"] == "LLAMA3_8B")
    assert llama.sum() > 1 and (table["duplicate_of"][llama] == -1).all()


# ---- a reader's own file


def written(tmp_path, text):
    path = tmp_path / "mine.csv"
    path.write_bytes(text.encode())
    return path


def test_a_readers_file_by_hand(tmp_path):
    # 12.5 us, 2 TFLOP/s; a mark of byte order, Windows' ends of lines, a blank line, a blank cell
    text = "\ufeffchip, kernel ,time_us,mood,tflops\r\n\r\nh100 sxm, matmul,12.5, good ,2\r\n,,,,\r\n"
    given, columns, _ = corpus.read(written(tmp_path, text), "kernels")
    assert given["mood"] == (" good ", "") and list(given)[:2] == ["chip", "kernel"]
    assert columns["chip_name"].tolist() == ["H100 SXM5", ""]
    assert columns["kernel"].tolist() == ["matmul", ""]
    assert columns["time_s"][0] == pytest.approx(12.5e-6) and math.isnan(columns["time_s"][1])
    assert columns["flop_per_s"][0] == 2e12 and math.isnan(columns["m"][0])
    assert set(columns) == set(corpus.columns("kernels")) - {"role", "suspect", "duplicate_of"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chip,m,chip\nH100,8,A100\n", "two columns are called 'chip'"),
        ("chips,rows\nH100,8\n", "no column is one of .*kernel.*got 'chips, rows'"),
        ("m,n\n8,8\n", "needs the columns chip, kernel; missing: chip, kernel"),
        ("\n\n", "is empty"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        corpus.read(written(tmp_path, text), "kernels")


def test_a_file_that_is_none(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(ValueError, match="cannot be read as a CSV file"):
            corpus.read(path, "kernels")
    (tmp_path / "wide.csv").write_bytes("chip,kernel\n".encode("utf-16") + b"T")  # half a letter
    with pytest.raises(ValueError, match="cannot be read as a CSV file: it is broken UTF-16 .*; save it as UTF-8"):
        corpus.read(tmp_path / "wide.csv", "kernels")


def test_unicode_text_as_excel_saves_it(tmp_path):
    (tmp_path / "wide.txt").write_bytes("chip\tkernel\tm\nT4\tmatmul\t8\n".encode("utf-16"))
    own = corpus.read(tmp_path / "wide.txt", "kernels")
    assert own.columns["chip_name"].tolist() == ["T4"] and own.columns["m"].tolist() == [8]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"T4,matmul,eight,8", "m must be a number or blank, got 'eight'"),
        (b"T4,matmul,-inf,inf", "m must be a number or blank, got '-inf'; n must be a number or blank, got 'inf'"),
        (b"T4,matmul,8", "must have 4 cells as the first line has, got 3"),
        (b"T4,matmul,8,8,9", "must have 4 cells as the first line has, got 5"),
        (b"T4,M\xfcller,8,8", r"KERNEL is not UTF-8: 'M\\xfcller'"),
        (b'T4,"matmul,8,8', "a quote is not closed"),
        (b"T4," + b"x" * 200_000 + b",8,8", "KERNEL must have at most 10,000 characters"),
    ],
)
def test_a_bad_cell_costs_its_row_and_no_other(tmp_path, line, fault):
    (tmp_path / "mine.csv").write_bytes(b"Chip,KERNEL,m,n\nT4,matmul,8,8\n" + line + b'\nT4,"mat\nmul",8,8,\n')
    own = corpus.read(tmp_path / "mine.csv", "kernels")
    assert own.faults[1].startswith(fault) and own.faults[[0, 2]].tolist() == ["", ""]
    assert own.columns["chip_name"].tolist() == ["T4", "T4", "T4"] and own.columns["n"][[0, 2]].tolist() == [8, 8]
    assert list(own.given) == ["Chip", "KERNEL", "m", "n"] and own.given["KERNEL"][2] == "mat\nmul"


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("AllReduce", "all_reduce"),
        ("all-reduce", "all_reduce"),
        ("all_reduce_perf", "all_reduce"),
        ("ReduceScatter", "reduce_scatter"),
        ("reduce-scatter", "reduce_scatter"),
        ("allgather", "all_gather"),
        ("alltoall", "all_to_all"),
        ("All-to-All", "all_to_all"),
        ("sendrecv", "p2p"),
        ("broadcast", "broadcast"),
        ("reduce", "reduce"),  # another thing than an all-reduce
        ("gather", "gather"),
        ("", ""),
    ],
)
def test_collectives_as_people_write_them(spelled, name, tmp_path):
    assert corpus.collective(spelled) == name
    path = tmp_path / "mine.csv"
    path.write_text(f"chip,collective,n_gpus,message_bytes\nH100 SXM5,{spelled},8,1000000\n")
    assert corpus.read(path, "collectives").columns["collective"].tolist() == [name]


def test_collectives_are_those_of_the_model():
    assert set(corpus.COLLECTIVES.values()) == set(collectives.COLLECTIVES)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("chip;kernel;m;time_us\nT4;matmul;4.096;3,14\nT4;matmul;8;4,096\n", {"time_s": [3.14e-6, 4.096e-6]}),
        ("chip;kernel;m\nT4;matmul;4,096\nT4;matmul;8\n", {"m": [4096, 8]}),
        ("\ufeffchip\tkernel\tm\tnote\nT4\tmatmul\t8\ta, b\nT4\tmatmul\t9\t\n", {"m": [8, 9]}),
        ("chip,kernel,m,time_ms\nT4,matmul,4k,2\nT4,matmul,8,0.5 us\n", {"m": [4000, 8], "time_s": [2e-3, 0.5e-6]}),
        ("chip,kernel,seq_len,kv_len\nT4,attention,4k,16K\nT4,attention,1M,8\n", {"seq_len": [4096, 2**20], "kv_len": [16384, 8]}),
        ("chip,kernel,bytes,gflops\nT4,copy,64M,1000\nT4,copy,1 GB,\n", {"bytes": [64 * 2**20, 1e9], "flop_per_s": [1e12, math.nan]}),
        ("chip,kernel,time_us,m\nT4,matmul,OOM,8\nT4,matmul,n/a,8\n", {"time_s": [math.nan, math.nan], "m": [8, 8]}),
        ("chip,kernel,time_us,time_ms\nT4,matmul,5,7\nT4,matmul,6,7\n", {"time_s": [5e-6, 6e-6]}),
    ],
)  # fmt: skip
def test_files_as_people_write_them(tmp_path, text, values):
    own = corpus.read(written(tmp_path, text), "kernels")
    assert own.faults.tolist() == ["", ""] and own.columns["chip_name"].tolist() == ["T4", "T4"]
    for column, expected in values.items():
        np.testing.assert_allclose(own.columns[column], expected, rtol=1e-12)


def test_every_bad_cell_of_a_file_is_told_at_once_and_costs_its_row(tmp_path):
    text = "chip,kernel,m,n,time_ms\nT4,matmul,OOM,x,2\nT4,matmul,8,8,12 GB\nT4,matmul,8,8,\n"
    own = corpus.read(written(tmp_path, text), "kernels")
    assert own.faults.tolist() == [
        "m must be a number or blank, got 'OOM'; n must be a number or blank, got 'x'",
        "time_ms must be a number or blank, got '12 GB': 'GB' is no unit of the kind s",
        "",
    ]


def test_a_unit_in_a_column_is_no_stranger():
    header = ["chip", "model", "step_time_ms", "mem_gb_per_chip", "mfu %", "global_batch", "tokens_per_sec_per_chip"]
    assert corpus.unread(header, "training") == {"global_batch": "global_batch_seqs"}
    assert corpus.unread(["collective", "msg_MB"], "collectives") == {"msg_MB": ""}


def test_what_is_measured_are_numbers_of_each_table():
    for name, columns in corpus.MEASURED.items():
        assert all(corpus._about(name)[column]["unit"] != "text" for column in columns), name
