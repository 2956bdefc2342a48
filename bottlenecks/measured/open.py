"""What a measured training run leaves open: every layout that it could mean, and what each weighs.

What is open is a distribution. A practitioner tunes, but does not find the optimum: of the layouts that could be
meant (`layouts`) and fit in memory, one that takes twice the time is chosen 2^-TASTE times as often (`weigh`), of

- tensor parallelism within 8 chips and 1 to 32 stages, more where they divide; a compiler's chips
  (TPU from 2022) shard everything, with one batch a step;
- chunks of a stage, since they were published, where micro-batches are few for the stages;
- recomputation: none, in part, all; all before 2022 and in compiled programs, but of encoders;
- a micro-batch of 1 with stages or long contexts, else any to 16; expert parallelism that divides;
- a batch of 2M tokens, 4M above 50B parameters, and no less than 1,024 a chip; 2,048 tokens of a
  sequence, from 2024 8,192, of an encoder 512; as many chips as twice the states fill.

What a row states and the layout cannot have (a size that does not divide another) is taken as near as
can be, and said.
"""

import re
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bottlenecks.facts.doors import one_of
from bottlenecks.models import constants, footprint, training
from bottlenecks.models.layouts import Layout, broken, divisors, legal, slotted
from bottlenecks.models.software import since

BATCH_TOKENS = 2**21  # tokens of a step whose batch is not stated; twice as many for a LARGE model
LARGE = 50e9  # parameters from where on a step has twice the tokens: brown2020gpt3, Table 2.1, has 3.2M at 175B
LORA_RANK = 16  # of adapters: their size hardly matters
STATE_BYTES = 18  # bytes of a weight, its gradient and what its optimiser holds: eq:zero-states
CHIP_TOKENS = 1024  # least tokens of a step for each chip: megascale_t2 on 12,288 chips, llama3herd on 16,384
RESERVED = 0.08  # share of a chip's memory for the allocator and the buffers of collectives (a choice)
NARROW_KEPT_BYTES = 1.75  # bytes of a kept activation where products are narrow (`_kept`)
LONG = 16384  # tokens, from where on contexts may be cut
COMPILED = ("TPU", "Neuron")  # families of chips whose compiler shards what a program leaves whole
TOKENS = 2048  # tokens of a sequence whose length is not stated, before 2024; later 8,192
POLICIES = ("none", "selective", "products", "full")  # of recomputation, as the first word of the column
CUSTOM = ("custom", "selected", "partial", "some")  # words for a policy that is not told
STAGES = (1, 2, 4, 8, 16, 32)
TASTE = constants.training()["any", "taste"]
CHUNKS = tuple(range(1, 13))  # of a stage that are tried; `layouts.broken` leaves those that are equal


class Run(NamedTuple):
    """What is known of a row before its layout: the row, its model, and what it ran on."""

    row: dict
    shape: object
    device: object
    software: object
    year: str  # of the software

    @property
    def compiled(self):
        """A compiler places what the program leaves whole."""
        return self.device.family in COMPILED

    def given(self, name):
        """Does the row state a number?"""
        return bool(np.isfinite(self.row[name]))

    def number(self, name, default=1):
        """What the row states, else a default."""
        return int(self.row[name]) if self.given(name) else default


def layouts(run, assumed):
    """Every layout that a practitioner could have meant by a row: what it states, and choices for the rest."""
    run = _of_chips(_with_chips(run, assumed), assumed)
    seq = seq_len(run, assumed)
    sharded = _sharded(run, assumed)
    batch, local = _batch(run, seq, sharded, assumed)
    chips = run.row["n_chips"]
    found = [
        known
        for tp, pp, cp, chunks in _cuts(run, seq, sharded)
        for known in _cut_so(run, tp, pp, cp, chunks, seq, sharded, batch, local, assumed)
    ]
    if not found and 1 <= batch < chips and not local:
        assumed.add(f"{chips:.0f} sequences, not {batch:.0f}: one a chip")
        return layouts(run._replace(row=run.row | {"global_batch_seqs": float(chips)}), assumed)
    if not found:
        cut = [run.row[n] for n in ("tp", "pp", "cp") if run.given(n)]
        raise ValueError(
            f"tp x pp x cp ({np.prod(cut):.0f}) does not divide {chips:.0f} chips"
            if cut and chips % np.prod(cut)
            else f"{batch:.0f} sequences are fewer than the data-parallel ranks"
        )
    return found


def _cut_so(run, tp, pp, cp, chunks, seq, sharded, batch, local, assumed):
    """Layouts that cut a run in one way: each policy of recomputation, micro-batch and number of expert ranks."""
    told = run.given("tp")
    dp = run.row["n_chips"] / (tp * pp * cp)
    if dp < 1 or (dp % 1 and not told):
        return
    dp = int(dp)
    each = local or batch / dp
    if not local and not run.given("global_batch_seqs"):
        each = max(2 ** round(np.log2(each)), 1)
    if each < 1 and told and 1 / each % 1 == 0:  # contexts are cut further
        cp, dp, each = int(cp / each), int(dp * each), 1
        assumed.add(f"cp {cp}: as many sequences as ranks")
    if each < 1:
        return
    zero, ranks = _states(run, dp * cp, sharded)
    known = _stated(run, pp, chunks) | {
        "tp": tp,
        "pp": pp,
        "cp": cp,
        "dp": dp,
        "vpp": chunks,
        "sp": tp > 1 and run.number("sequence_parallel", run.year >= "2022") == 1,
        "zero": zero,
        "zero_ranks": ranks,
        "seq_len": seq,
        "gathers_once": zero == 3 and pp > 1,
    }
    for recompute in _recomputes(run):
        for micro in _micros(run, each, pp, seq):
            many = max(int(each // micro), 1)
            for ep in _experts(run, tp, dp * cp):
                yield known | {"micro_batch": micro, "micro_batches": many, "recompute": recompute, "ep": ep}


def _stated(run, pp, chunks):
    """Fields of a layout that a row states in columns of their own."""
    layers, stated = run.shape.layers, run.row["schedule"]
    # with a token ahead the last stage has two heads, and few layers: megatron-bridge-recipes
    slots = bool(layers % pp and not (layers + 2) % pp) and not run.shape.ahead
    adapters = LORA_RANK if run.row["workload"] == "lora" else 0
    return {
        "embedding_slots": run.number("embedding_slots", slots) == 1,
        "schedule": "dualpipe" if stated == "dualpipe" else "interleaved" if chunks > 1 else "1f1b",
        "lora_rank": run.number("lora_rank", adapters),
        "imbalance": run.row["capacity_factor"] if run.given("capacity_factor") else 1.0,
        "fused_attention": run.software.attention != "unfused",
    }


# ---- sizes that are not stated


def _with_chips(run, assumed):
    """A run without its chips: those of its layout, or twice as many as weights and states fill."""
    if run.given("n_chips"):
        return run
    cut = np.nanprod([run.row[n] for n in ("tp", "pp", "cp", "dp")])
    least = 2 * STATE_BYTES * run.shape.params / run.device.memory_bytes
    if not run.given("dp"):
        cut = max(cut, 2 ** np.ceil(np.log2(max(least / 8, 1))) * 8)
    assumed.add(f"{cut:.0f} chips")
    return run._replace(row=run.row | {"n_chips": float(cut)})


def _of_chips(run, assumed):
    """Where ranks are cores, several to a chip, the run as if a chip were one rank."""
    cores = run.number("ranks_per_chip", 0)
    if not cores and run.device.family == "Neuron" and run.given("tp"):
        cores = int(run.device.facts["core_count"])
        assumed.add(f"tp counts cores, {cores} to a chip")
    if cores < 2 or not run.given("tp"):
        return run
    return run._replace(row=run.row | {"tp": max(run.row["tp"] // cores, 1)})


def seq_len(run, assumed):
    """Tokens that are computed of a sequence."""
    if not run.given("seq_len"):
        seq = 512 if run.shape.both_ways else TOKENS if run.year < "2024" else 8192
        seq = int(min(seq, run.shape.context_tokens or seq))
        assumed.add(f"{seq:,} tokens")
        return seq
    if run.given("padded_tokens"):
        assumed.add(f"padding left out: in the mean {run.row['padded_tokens']:.0f} tokens")
        return int(run.row["padded_tokens"])
    return int(run.row["seq_len"])


def _sharded(run, assumed):
    """Are weights dealt out over chips, as stated, or as a compiler does when not told?"""
    if run.compiled and not run.given("tp") and zero_stage(run.row) != 3 and run.year >= "2022":
        assumed.add("fully sharded")
        return True
    if np.isnan(zero_stage(run.row)):
        assumed.add("optimiser states " + ("shared over data-parallel ranks" if run.year >= "2023" else "whole"))
    return zero_stage(run.row) == 3


def _states(run, ranks, sharded):
    """(stage of ZeRO, ranks that share states or None for all)."""
    group = None
    if run.given("zero_ranks"):
        group = _divisor(run.row["zero_ranks"], ranks)
    stage = zero_stage(run.row)
    return 3 if sharded else int(run.year >= "2023") if np.isnan(stage) else int(stage), group


def zero_stage(row):
    """Stage of ZeRO that a row states, as a number or in the words of its source; NaN where neither tells."""
    return row["zero"] if np.isfinite(row["zero"]) else read_stage(row["zero_fsdp"])


def read_stage(text):
    """Stage of ZeRO by the words for how state is sharded; NaN where they do not tell.

    >>> read_stage("ZeRO-3 offload"), read_stage("FSDP"), read_stage("distributed optimizer"), read_stage("DDP")
    (3.0, 3.0, 1.0, nan)
    """
    words = text.casefold()
    if found := re.search(r"zero[- ]?(\d)", words):
        return float(found[1])
    return 3.0 if re.search("fsdp|hsdp|fully.shard", words) else 1.0 if re.search("dist.*opt|zero", words) else np.nan


def _divisor(most, of):
    """The largest number up to `most` that divides another; 1 where that is not whole."""
    return max((n for n in divisors(of) if n <= most), default=1) if of % 1 == 0 else 1


def _batch(run, seq, sharded, assumed):
    """(sequences of a step, sequences of one rank where only that is stated)."""
    if run.given("global_batch_seqs"):
        return run.row["global_batch_seqs"], None
    if run.given("batch_tokens"):
        return run.row["batch_tokens"] / seq, None
    if run.given("micro_batch") and sharded and not run.row["pp"] > 1:
        assumed.add("one micro-batch a step")
        return np.inf, int(run.row["micro_batch"])
    tokens = BATCH_TOKENS * (2 if run.shape.params > LARGE else 1)
    tokens = max(tokens, CHIP_TOKENS * 2 ** np.floor(np.log2(run.row["n_chips"])))
    assumed.add(f"{tokens / 2**20:g}M tokens a step")
    return tokens / seq, None


# ---- ways to cut


def _cuts(run, seq, sharded):
    """(tp, pp, cp, chunks) that a row leaves possible."""
    row, shape, chips = run.row, run.shape, run.row["n_chips"]
    tp, pp = row["tp"], row["pp"]
    if not run.given("tp") and run.given("model_parallel"):
        tp, pp = min(row["model_parallel"], 8), max(row["model_parallel"] // 8, 1)
    rings = (run.number("cp"),) if run.given("cp") or seq < LONG else STAGES
    if np.isfinite(tp):
        stages = int(pp) if np.isfinite(pp) else 1
        chunks = run.number("vpp")
        chunks = chunks if stages > 1 and _there(shape, stages * chunks) else 1
        return [
            (int(tp), stages, ring, each)
            for ring in rings
            for each in _chunks(run, int(tp) * stages * ring, stages, chunks)
        ]
    sizes = [n for n in (1, 2, 4, 8, *((16, 32) if run.compiled else ())) if shape.heads % n == 0]
    if sharded:  # over all chips; tensor parallelism on top where sequences are fewer than chips
        least = [n for n in sizes if not chips > n * row["global_batch_seqs"]][:1] or sizes[-1:]
        return [(n, 1, ring, 1) for n in (least if run.compiled else sizes) for ring in rings]
    stages = STAGES if not np.isfinite(pp) else (int(pp),)
    if not np.isfinite(pp) and np.log2(chips) % 1:  # and what else divides chips and layers
        stages += tuple(n for n in range(3, 65) if shape.layers % n == 0 == chips % n and n not in stages)
    return [
        (n, p, ring, c)
        for n in sizes
        for p in stages
        if p <= shape.layers
        for ring in rings
        for c in _any_chunks(run.number("vpp"), shape, p)
    ]


def _any_chunks(stated, shape, stages):
    """Chunks of a stage in a pipeline whose stages are open."""
    if stated > 1 or stages == 1:
        return (stated,)
    dealt = next((n for n in (shape.layers, shape.layers + 2) if n % stages == 0), stages)
    return [c for c in (1, 2, 4, 6, 12) if dealt // stages % c == 0]


def _chunks(run, ranks, stages, chunks):
    """Chunks of a stage. Where a row has none, few micro-batches for its stages tell that it had some."""
    schedule = one_of("schedule", run.row["schedule"], ("", *footprint.SCHEDULES))
    if schedule == "interleaved" and chunks == 1 and stages > 1:
        return [c for c in CHUNKS[1:] if _there(run.shape, stages * c)]
    told = run.given("vpp") or chunks > 1 or schedule
    known = run.year >= str(since("interleaved"))
    each = run.row["global_batch_seqs"] * ranks / run.row["n_chips"]
    few = each / run.number("micro_batch") < 8 * stages
    if told or stages == 1 or not known or not few:
        return (chunks,)
    return [c for c in CHUNKS if _there(run.shape, stages * c)]


def _there(shape, parts):
    """Are there layers for so many parts? Embedding and head count where parts are equal only so."""
    return parts <= shape.layers + 2 * slotted(shape.layers, parts)


def _experts(run, tp, ranks):
    """Expert-parallel ranks: what the row states; else none, or any number that divides both."""
    if run.shape.experts is None:
        return (1,)
    if run.given("ep"):  # over all ranks, where whole experts are folded over tensor-parallel ones
        ep = max(int(run.row["ep"]) // (tp if run.software.folds_experts else 1), 1)
        return (int(np.gcd(np.gcd(ep, ranks), run.shape.experts)),)
    sizes = (1,) if run.compiled else (1, 4, 8, 16, 32, 64)
    return [n for n in sizes if ranks % n == 0 and run.shape.experts % n == 0]


def _recomputes(run):
    """Which activations are computed again: as stated, or each policy of that time."""
    unfused, stated = run.software.attention == "unfused", run.row["recompute"]
    policy = stated.replace(",", " ").split()[0].casefold() if stated else ""
    if policy in CUSTOM:
        return ("products", "full")
    if policy:
        one_of("recompute", policy, (*POLICIES, *CUSTOM))
        # what is kept of a fused attention is little: norms at most
        return ("none" if policy == "selective" and not unfused else policy,)
    if run.shape.both_ways:  # encoders are small: nothing, where there is room
        return ("none", "full")
    again = run.row["hfu"] / run.row["mfu"]
    if again > 1.2 or run.compiled or run.year < "2022":  # full is what MaxText does when not told
        return ("full",)
    return ("none", "selective", "full") if unfused else ("none", "products", "full")


def _micros(run, each, pp, seq):
    if run.given("micro_batch"):
        return (_divisor(run.row["micro_batch"], each),)
    if run.compiled and pp == 1:  # the program of a step is one: no accumulation of gradients
        return (int(each),)
    if run.year == "2020":
        return (int(each), *(n for n in (64, 32, 16, 8, 4, 2, 1) if each % n == 0 and n < each))
    if pp > 1 or seq > LONG:  # pipelines are short of micro-batches
        return (1,)
    return tuple(n for n in (16, 8, 4, 2, 1) if each % n == 0) or (1,)


# ---- the choice


OPEN_FIELDS = {  # of a layout, in words
    "tp": "tp {tp}, pp {pp}",
    "recompute": "recomputation: {recompute}",
    "micro_batch": "micro-batch {micro_batch}",
    "cp": "cp {cp}",
    "ep": "ep {ep}",
    "vpp": "vpp {vpp}",
}


class Weighed(NamedTuple):
    """Layouts that a row could mean, each with its seconds for a token and chip, and its weight; they sum to one."""

    found: list
    each_s: np.ndarray
    weights: np.ndarray
    fitting: np.ndarray  # in our count of bytes

    def say(self, i, run, assumed):
        """What was open, and how the i-th layout settles it."""
        _say_choice(self.found, self.found[i], self.fitting[i], assumed)
        _say_nearest(self.found[i], run, assumed)


def weigh(found, run, on, timed=False):
    r"""The layouts that a row leaves open, weighed as practitioners choose (`Weighed`).

    $$w_i \propto \left(\frac{T_{\min}}{T_i}\right)^{\beta}$$  (eq:taste)

    T_i    -      time of a layout, for a token and chip  [s]
    T_min  -      the least among those that fit             [s]
    β      TASTE  how strongly practitioners prefer speed    [-]

    `timed`: seconds are asked for also where one layout alone is possible.

    Holds for: runs whose owner looked for a fast layout among those that fit in memory.
    Source: a discrete choice (logit in the logarithm of time), fitted by `fits.training.taste` on runs that state theirs.
    """
    found = _lawful(found, run.shape)
    if len(found) == 1 and not timed:
        return Weighed(found, np.ones(1), np.ones(1), np.ones(1, bool))
    layout = _together(found)
    short = _shortfall(run.shape, _kept(layout, on, run.year), found, on)
    each_s = training.seconds(run.shape, layout, on=on, software=run.software)
    each_s = each_s * layout.chips / (layout.micro_batch * layout.micro_batches * layout.dp * layout.seq_len)
    fitting = short <= -RESERVED * on.memory_bytes
    may = fitting if fitting.any() else ~fitting  # the run did run: where none fits our bytes are off, and tell nothing
    weights = np.where(may, np.minimum(each_s[may].min() / each_s, 1.0) ** TASTE, 0.0)
    return Weighed(found, each_s, weights / weights.sum(), fitting)


def _lawful(found, shape):
    """Of the layouts that a row leaves open those that `layouts.broken` forbids nothing; all, where the row states one."""
    lawful = legal(shape, _together(found))
    return [known for known, ok in zip(found, np.broadcast_to(lawful, len(found)), strict=True) if ok] or found


def _together(found):
    """Layouts as one, whose fields are arrays."""
    return Layout(**{name: np.array([plain(known, name) for known in found]) for name in found[0]})


def _say_choice(found, best, fitting, assumed):
    """What was open, and what stands for it."""
    words = [text.format(**best) for name, text in OPEN_FIELDS.items() if len({k[name] for k in found}) > 1]
    if words:
        assumed.add(
            "; ".join(words) + (": the middle of what fits" if fitting else "; the memory predicted does not fit")
        )


def _say_nearest(best, run, assumed):
    """Numbers that the row states and the layout cannot have."""
    for rule, where in broken(run.shape, _together([best])).items():
        if np.any(where):
            assumed.add(f"{rule}, which the row's layout does not")
    chips = run.row["n_chips"]
    used = best["tp"] * best["pp"] * best["cp"] * best["dp"]
    if run.given("n_chips") and not run.given("ranks_per_chip") and used != chips:
        assumed.add(f"tp x pp x cp x dp is {used:.0f}, not the {chips:.0f} chips")
    batch = best["dp"] * best["micro_batch"] * best["micro_batches"]
    if run.given("global_batch_seqs") and batch != run.row["global_batch_seqs"]:
        assumed.add(f"a step of {batch:.0f} sequences, not {run.row['global_batch_seqs']:.0f}")
    for name in ("micro_batch", "vpp", "zero_ranks"):
        stated = run.row[name]
        if np.isfinite(stated) and best[name] is not None and best[name] != stated:
            assumed.add(f"{name} {best[name]}: {stated:.0f} does not divide")
    if run.given("dp") and run.given("tp") and not run.given("ranks_per_chip") and best["dp"] != run.row["dp"]:
        assumed.add(f"dp {best['dp']}: {run.row['dp']:.0f} does not make the chips")
    if run.given("ep") and run.shape.experts is not None:
        whole = best["ep"] * (best["tp"] if run.software.folds_experts else 1)
        if whole != max(run.row["ep"], best["tp"] if run.software.folds_experts else 1):
            assumed.add(f"ep {whole}: {run.row['ep']:.0f} does not divide ranks and experts")


def plain(known, name):
    """A field of a layout as a number: states that all data-parallel ranks share are shared by so many."""
    value = known[name]
    return known["dp"] * known["cp"] if name == "zero_ranks" and value is None else value


def _kept(layout, on, year):
    """The layout with what software of its time keeps: gradients in 16 bits rather than compute again.

    Of a layer's activations a third are inputs of products (11.25 and 5.5 widths of Llama 3 70B),
    which narrow formats keep in a byte: 1.75 in the mean.
    """
    recipe = "adam" if year >= "2024" else "adam, fp32 gradients"
    return replace(layout, recipe=recipe, value_bytes=NARROW_KEPT_BYTES if on.narrow else 2)


def _shortfall(shape, layout, found, on):
    try:
        rows = footprint.training_rows(shape, layout)
        return footprint.shortfall_bytes(rows, on.memory_bytes) + 0.0 * layout.tp
    except ValueError:
        if len(found) == 1:
            return np.array([0.0 if found[0]["pp"] == 1 else np.inf])
        parts = [_shortfall(shape, replace(layout, **{n: np.array([plain(k, n)]) for n in k}), [k], on) for k in found]
        return np.concatenate(parts)
