"""From one chip to the next: which line of the datasheet told how much faster real work became."""

from collections import defaultdict
from functools import cache
from itertools import combinations

import numpy as np

from bottlenecks.facts import corpus, formats
from bottlenecks.facts.chips import chip
from bottlenecks.facts.doors import one_of
from bottlenecks.measured import frame, scores

SAME = {  # columns in which two measurements agree that differ in their chip
    "inference": "source_id model n_chips tp pp ep weight_dtype act_dtype kv_dtype batch input_len output_len phase "
    "framework workload slots speculative load stationary program",
    "training": "source_id model seq_len workload lora_rank compute_dtype",
}
WORK = ("training", "prompts", "serving", "decoding")
PHASES = {"prefill": "prompts", "end_to_end": "serving", "decode": "decoding"}
RIVALS = ("peak FLOP/s", "bandwidth", "both", "longer of two times", "model")
WIDE = (
    "bf16",
    "fp16",
    "fp16_acc16",
)  # 16 bits: the fastest way in which a chip multiplies them, the best case for its peak
APART = np.log(1.2)  # between a pair's gains in bandwidth and in peak, from which on they tell it differently


@cache
def pairs():
    """Pairs of chips of one maker that did the same work for one source: one element a pair in every column.

    work, source, older and newer (by launch), settings (so many are behind the medians), then logarithms of the gain:
    measured; by peak FLOP/s (in the format of the products; of 16 bits with sums as narrow as the chip has them); by memory bandwidth; by both, their
    geometric mean; by the longer of the datasheet's two times, operations at the peak and bytes at the bandwidth; by
    the book's model. In training the best run of each chip counts, whatever its layout.
    """
    found = defaultdict(list)
    for kind in SAME:
        for key, gains in _alike(kind):
            found[key].append(gains)
    return dict(zip(("work", "source", "older", "newer"), map(np.array, zip(*found, strict=True)), strict=True)) | {
        "settings": np.array([len(each) for each in found.values()]),
        **{
            name: np.array([np.median([gains[name] for gains in each]) for each in found.values()])
            for name in ("measured", *RIVALS)
        },
    }


def _alike(kind):
    """((work, source, older, newer), gains) of every two rows that differ in their chip alone."""
    rows, found = corpus.table(kind), scores.table(kind)
    speeds = _speeds(rows, found)
    fair = scores.fair(rows, found) & np.isfinite(sum(speeds.values()))
    if kind == "training":  # runs of unlike size compare by what each chip does
        fair &= np.char.endswith(found["unit"], "/chip")
    groups = defaultdict(dict)
    for i in np.flatnonzero(fair):
        mine = groups[(found["unit"][i], *(str(rows[name][i]) for name in SAME[kind].split()))]
        name = str(rows["chip_name"][i])
        if name not in mine or speeds["measured"][i] > speeds["measured"][mine[name]]:
            mine[name] = i
    for mine in groups.values():
        order = sorted(mine, key=lambda name: (chip(name).launch, name))
        for older, newer in combinations(order, 2):
            a, b = mine[older], mine[newer]
            if chip(older).vendor == chip(newer).vendor and chip(older).launch != chip(newer).launch:
                work = "training" if kind == "training" else PHASES[str(rows["phase"][a])]
                yield (work, str(rows["source_id"][a]), older, newer), {k: v[b] - v[a] for k, v in speeds.items()}


def _speeds(rows, found):
    """Logarithms of speeds of each row, up to what rows of the same work share."""
    sign = np.where(np.isin(found["unit"], frame.TIMES), -1, 1)
    devices = [chip(name) if name else None for name in rows["chip_name"].tolist()]
    spelled = rows["compute_dtype" if "compute_dtype" in rows else "act_dtype"].tolist()
    with np.errstate(divide="ignore", invalid="ignore"):
        measured = sign * np.log(found["measured"])
        bandwidth = np.log([device.memory_bytes_per_s if device else np.nan for device in devices])
        peak = np.log([_peak(*each) for each in zip(devices, spelled, strict=True)])
        return {
            "measured": measured,
            "peak FLOP/s": peak,
            "bandwidth": bandwidth,
            "both": (peak + bandwidth) / 2,
            "longer of two times": measured + np.log(scores.in_seconds(found)["measured_s"] / found["floor_s"]),
            "model": sign * np.log(found["predicted"]),
        }


def _peak(device, spelled):
    """Peak of a chip in the first format of a text, if it is narrow, else in 16 bits; else in 32."""
    if not device:
        return np.nan
    narrow = [name for name in formats.named(spelled)[:1] if formats.bytes_per_value(name) < 2]
    for asked in (narrow, WIDE, ("fp32",)):
        have = [device.peak_flop_per_s(name) for name in asked if name in device.peaks]
        if have:
            return max(have)
    return np.nan


def errors(work, found=None):
    """Mean over sources of the mean |ln(told gain / measured gain)| of the pairs of a kind of work: rival -> error."""
    mine = of_work(work, found)
    return {name: scores.mean_error(mine[name] - mine["measured"], mine["source"]) for name in RIVALS}


def of_work(work, found=None):
    """The pairs of one kind of work."""
    found = pairs() if found is None else found
    return corpus.where(found, found["work"] == one_of("work", work, WORK))


def share(work, found=None):
    """Bandwidth's share s: the s for which bandwidth^s x peak^(1 - s) told the gains with the least error, and that error.

    An elasticity, read off pairs of chips: twice both rates is twice the speed, so the two exponents add up to one.
    """
    mine = of_work(work, found)
    tried = np.linspace(0, 1, 101)
    gains = tried[:, None] * mine["bandwidth"] + (1 - tried[:, None]) * mine["peak FLOP/s"]
    error = [scores.mean_error(each - mine["measured"], mine["source"]) for each in gains]
    best = int(np.argmin(error))
    return float(tried[best]), float(error[best])


def nearer(work, found=None):
    """(pairs in which bandwidth told the gain better than peak, pairs in which the two differ by a fifth or more)."""
    mine = of_work(work, found)
    apart = np.abs(mine["bandwidth"] - mine["peak FLOP/s"]) >= APART
    better = np.abs(mine["bandwidth"] - mine["measured"]) < np.abs(mine["peak FLOP/s"] - mine["measured"])
    return int((better & apart).sum()), int(apart.sum())
