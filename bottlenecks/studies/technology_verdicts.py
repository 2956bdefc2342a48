"""Verdicts on memory technology: capacity for bandwidth, an order of magnitude, the thousandfold, and what foretells a gain."""

import numpy as np

from bottlenecks.facts.architectures import model
from bottlenecks.facts.units import plain, si
from bottlenecks.studies import fetching, generations, technologies
from bottlenecks.studies.verdict import Verdict

LIMIT_S = 0.1  # between two tokens of a reader
MODELS = ("Llama-3-8B", "Llama-3-70B", "Llama-3.1-405B")
TEN = 10.0
SILICON = 3.0  # bits of a wafer of DDR5 over those of HBM3E, by a maker: industry.csv
KINDS = {  # kind of ratio -> words
    "package": "a stack beside a module",
    "edge": "a millimetre of die edge",
    "dollars of 2025": "a dollar of 2025",
    "dollars of 2026": "a dollar of 2026",
    "byte": "a byte kept",
}


def _at(found, name):
    i = found["name"].tolist().index(name)
    return {column: values[i] for column, values in found.items()}


def served(equal="die edge", other="DDR5-6400"):
    """{model: {memory: (step of one reader, readers, tokens a second)}}: HBM and another memory for the same budget."""
    found = technologies.swapped(equal)
    out = {}
    for name in MODELS:
        out[name] = {}
        for each in (technologies.OWN, other):
            mine = _at(found, each)
            one = float(technologies.step_s(model(name), np.array([mine["bytes_per_s"]]))[0])
            fits = model(name).params <= mine["memory_bytes"]
            many = technologies.throughput(model(name), mine["bytes_per_s"], mine["memory_bytes"], limit_s=LIMIT_S)
            out[name][each] = (one if fits else np.inf, *many)
    return out


def _held_times(equal="die edge", other="DDR5-6400"):
    """How many times the bytes of HBM another memory holds for the same budget."""
    found = technologies.swapped(equal)
    return _at(found, other)["memory_bytes"] / _at(found, technologies.OWN)["memory_bytes"]


def bandwidth_not_capacity(found=None):
    """Verdict on W2-bandwidth-not-capacity: DDR5 in place of HBM at the same edge of the die."""
    found = served() if found is None else found
    own, other = technologies.OWN, "DDR5-6400"
    both = [name for name, each in found.items() if np.isfinite(each[own][0])]
    slower = [each[other][2] < each[own][2] for name, each in found.items() if name in both]
    alone = [name for name, each in found.items() if not np.isfinite(each[own][0]) and np.isfinite(each[other][0])]
    word = "holds" if all(slower) and not alone else "fails" if not any(slower) else "holds-when"
    times = [found[name][other][0] / found[name][own][0] for name in both]

    def cell(each):
        return "does not fit" if not np.isfinite(each[0]) else f"{si(each[0], 's', 2)}; {plain(each[2], 2)} tokens/s"

    return Verdict(
        claim="W2-bandwidth-not-capacity",
        verdict=word,
        numbers=found,
        because=f"With DDR5 at the same edge a chip holds {plain(_held_times(), 2)} times as much and its decode step takes {plain(min(times), 2)} to {plain(max(times), 2)} times as long; within "
        f"{si(LIMIT_S, 's')} a token it serves less of {sum(slower)} of the {len(both)} models that HBM holds too. Capacity is the limit where the model does not fit: {', '.join(alone) or 'none here'}.",
        rows=tuple(
            {"model, 8 bits": name, "HBM3E: step alone; served": cell(each[own]), "DDR5": cell(each[other])}
            for name, each in found.items()
        ),
        margin=f"it holds if DDR5 serves less of each model and HBM holds each; HBM holds {len(both)} of {len(found)}.",
        n=len(found),
        range=f"One H200 with 60 mm of edge for memory, contexts of 2,048 tokens, served: all readers that fit and wait at most {si(LIMIT_S, 's')} for a token. Several chips share a model that one can not hold.",
    )


def order_of_magnitude(found=None):
    """Verdict on W2-dram-order-of-magnitude: how many times DDR5's bandwidth HBM3E has, by what one divides by."""
    found = {kind: technologies.ratio(kind) for kind in KINDS} if found is None else found
    above = [kind for kind, (low, _, _) in found.items() if low > TEN]
    some = [kind for kind, (low, _, high) in found.items() if low <= TEN < high]
    word = "holds" if len(above) == len(found) else "fails" if not above and not some else "holds-when"
    return Verdict(
        claim="W2-dram-order-of-magnitude",
        verdict=word,
        numbers=found,
        because=f"HBM3E has more than ten times DDR5's bandwidth by {len(above)} of {len(found)} measures"
        + (
            f"; by {', '.join(KINDS[kind] for kind in some)} the published edges allow less as well as more"
            if some
            else ""
        )
        + f". A wafer of DDR5 holds {plain(SILICON)} times the bits of one of HBM3E.",
        rows=tuple(
            {
                "by": KINDS[kind],
                "HBM3E over DDR5": plain(middle, 2) if high / low < 1.01 else f"{plain(low, 2)} to {plain(high, 2)}",
            }
            for kind, (low, middle, high) in found.items()
        ),
        margin=f"the nearest to ten is {KINDS[min(found, key=lambda k: abs(np.log(found[k][1] / TEN)))]}.",
        n=len(found),
        range="HBM3E of 9.6 Gbit/s a pin and 48 GB, DDR5 of 6.4 Gbit/s and 256 GB, LPDDR and GDDR stand between them; prices are contracts.",
    )


def moving_data(found=None):
    """Verdict on W2-energy-of-moving-data: how many pairs of a place and an arithmetic reach a thousand."""
    found = {product: fetching.ratios(product) for product in fetching.PRODUCTS} if found is None else found
    high = np.array([each["high"] for each in found.values()])
    on_chip = next(iter(found.values()))["kind"] == "on the chip"
    reach = int((high >= fetching.CLAIM).sum())
    word = "fails" if not reach else "holds" if (high[:, on_chip] >= fetching.CLAIM).all() else "holds-when"
    most = {product: each["high"][on_chip].max() for product, each in found.items()}
    return Verdict(
        claim="W2-energy-of-moving-data",
        verdict=word,
        numbers={
            product: dict(zip(each["name"].tolist(), each["ratio"].tolist(), strict=True))
            for product, each in found.items()
        },
        because=f"{reach} of {high.size} pairs of a place and an arithmetic reach a thousand, {int((high[:, on_chip] >= fetching.CLAIM).sum())} of them on the chip: an SRAM of a megabyte or a wire across the die costs at most "
        f"{plain(max(most.values()), 2)} times the multiplication and addition. A batch divides every one of them by its tokens.",
        rows=tuple(
            {
                "arithmetic": product,
                "on the chip, at most": plain(each["high"][on_chip].max(), 2),
                "HBM's devices": plain(each["high"][each["name"].tolist().index("HBM, its devices")], 2),
                "DRAM of 2014": plain(each["high"][-1], 2),
            }
            for product, each in found.items()
        ),
        margin=f"on the chip the largest is {plain(max(most.values()), 2)}, {plain(fetching.CLAIM / max(most.values()), 2)} times too small.",
        n=high.size,
        range="One weight, used once; energies of 45 nm and 7 nm arithmetic, wires of 40 nm, memories of 2014 to 2023; a vector of some 30 bytes across the die does cost a thousand multiplications.",
    )


def generations_told(found=None):
    """Verdict on W2-bandwidth-predicts-generations: for which work bandwidth told a gain better than peak FLOP/s."""
    of = generations.pairs() if found is None else found
    works = [work for work in generations.WORK if (of["work"] == work).any()]
    error = {work: generations.errors(work, of) for work in works}
    better = [work for work in works if error[work]["bandwidth"] < error[work]["peak FLOP/s"]]
    word = "holds" if len(better) == len(works) else "fails" if not better else "holds-when"
    shares = {work: generations.share(work, of)[0] for work in works}
    return Verdict(
        claim="W2-bandwidth-predicts-generations",
        verdict=word,
        numbers={"errors": error, "shares": shares},
        because=f"Bandwidth told the gain better for {_and(better)}, peak FLOP/s for {_and([w for w in works if w not in better])}. Bandwidth's share rises from "
        f"{plain(min(shares.values()), 2)} ({min(shares, key=shares.get)}) to {plain(max(shares.values()), 2)} ({max(shares, key=shares.get)}).",
        rows=tuple(
            {
                "work": work,
                "pairs": int((of["work"] == work).sum()),
                "off by peak": f"{error[work]['peak FLOP/s']:.2f}",
                "by bandwidth": f"{error[work]['bandwidth']:.2f}",
                "bandwidth's share": plain(shares[work], 2),
            }
            for work in works
        ),
        margin="; ".join(f"{work} {error[work]['peak FLOP/s'] - error[work]['bandwidth']:+.2f}" for work in works)
        + " (error by peak less error by bandwidth).",
        n=int(of["work"].size),
        range="Pairs of chips of one maker that did the same work for one source; errors are means over sources of |ln(told / measured)|. Prompts have one source, of a program for single users.",
    )


def _and(words):
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:]))) or "none"
