"""Tax: of the time between two tokens of one user, what memory and arithmetic explain, and the rest, which is agreement and waiting."""

import numpy as np

from bottlenecks import data
from bottlenecks.facts.architectures import model
from bottlenecks.facts.chips import chip
from bottlenecks.facts.units import plain, si
from bottlenecks.laws import serving
from bottlenecks.models import exchange, inference
from bottlenecks.models.machine import machine
from bottlenecks.studies.verdict import Verdict

DEFECTS_PER_CM2 = 0.1  # of a process in its second year: anandtech2020n5
DIE_CM2, WAFER_CM2 = 8.14, 462.0  # of an H100, and of the largest square on a wafer of 300 mm


def whole(area_cm2):
    """Probability that a piece of silicon has no defect, if they fall at random: exp(-density x area)."""
    return float(np.exp(-DEFECTS_PER_CM2 * area_cm2))


def single_user():
    """Published speeds of one user on 70 billion parameters, as a list of dictionaries in base SI.

    machine, chip, chips, token_s (measured); memory_s: every weight once, from all chips' memories together; flop_s: two
    operations a weight at the printed 16-bit peak (NaN where none is printed); rest_s and tax, its share of the token;
    in_turn_s: reading, if each layer lies in memories of its own, so that one layer's read at a time (NaN where every layer is
    spread over all chips); exchange_s: of those, the collectives as the model of serving has them; watts: of all chips by
    their rating; joules per token if nobody else were served; usd: of all chips, where a price is printed.
    """
    return [_line(row) for row in data.rows("single_user")]


def _line(row):
    on, shape, count = chip(row["chip"]), model(row["model"]), int(row["chips"])
    token_s = 1 / float(row["tokens_per_s"])
    stored = shape.params * float(row["weight_bits"]) / 8
    memory_s = serving.latency_floor_s(stored, chips=count, bytes_per_s=on.memory_bytes_per_s)
    peak = next((on.peak_flop_per_s(name) for name in ("bf16", "fp16") if name in on.peaks), np.nan)
    flop_s = 2 * shape.params / (count * peak)
    rest_s = token_s - max(memory_s, np.nan_to_num(flop_s))
    watts = count * float(row["watts_each"])
    spread = on.memory_kind != "SRAM"
    exchange_s = np.nan
    if spread:
        plan = inference.Plan(tp=count)
        exchange_s = float(exchange.exchange_s(shape, plan, machine(on), tokens=1))
    return {
        "machine": row["machine"],
        "chip": row["chip"],
        "chips": count,
        "token_s": token_s,
        "memory_s": float(memory_s),
        "flop_s": float(flop_s),
        "in_turn_s": np.nan if spread else float(memory_s * shape.layers),
        "exchange_s": exchange_s,
        "layers": shape.layers,
        "rest_s": float(rest_s),
        "tax": float(rest_s / token_s),
        "watts": float(watts),
        "powered": row["powered"],
        "joules": float(watts * token_s),
        "usd": count * (on.price_usd or np.nan),
        "holds": count * on.memory_bytes / stored,
        "sources": data.keys(row["sources"]),
    }


def interconnect_tax(found=None):
    """Verdict on W3-interconnect-tax: what share of a lonely token is not reading, in each kind of machine, and at what power."""
    found = single_user() if found is None else found
    dram, sram = ([line for line in found if np.isnan(line["in_turn_s"]) == kind] for kind in (True, False))
    least = {line["machine"]: 1 - line["in_turn_s"] / line["token_s"] for line in sram}
    each = {line["machine"]: (line["token_s"] - line["memory_s"]) / line["layers"] for line in found}
    most = max(line["tax"] for line in dram)
    slower = max(each[line["machine"]] for line in sram) > min(each[line["machine"]] for line in dram)
    more = min(least.values()) > most
    low, high = (plain(100 * of(line["tax"] for line in dram), 2) for of in (min, max))
    sent = [100 * line["exchange_s"] / line["token_s"] for line in dram]
    return Verdict(
        claim="W3-interconnect-tax",
        verdict="holds-when" if more and not slower else "holds" if more else "fails",
        because=f"On chips with HBM {low} to {high} % of a lonely token is not reading; the model gives {plain(min(sent), 2)} to {plain(max(sent), 2)} % to its "
        f"collectives. Where weights lie in SRAM {plain(100 * min(least.values()), 2)} to 100 % is not reading, the lower if one layer's memories work at a time. "
        f"In seconds that rest is {'more' if slower else 'less'}: {si(min(each[line['machine']] for line in sram), 's', 2)} to "
        f"{si(max(each[line['machine']] for line in sram), 's', 2)} per layer, against {si(min(each[line['machine']] for line in dram), 's', 2)} and more.",
        rows=tuple(
            {
                "machine": f"{line['chips']} x {line['chip']}",
                "token": si(line["token_s"], "s", 3),
                "not reading": f"{100 * line['tax']:.0f} %"
                if line["machine"] not in least
                else f"{100 * least[line['machine']]:.0f} to {100 * line['tax']:.1f} %",
                "per layer": si(each[line["machine"]], "s", 3),
                "power": f"{si(line['watts'], 'W', 3)} ({line['powered']}s)",
                "joules": plain(line["joules"], 2),
                "price": "none in the catalog"
                if np.isnan(line["usd"])
                else f"${line['usd'] / 1e6:.2g} million ({line['powered']}s)",
            }
            for line in found
        ),
        numbers={"least": min(least.values()), "dram": most, "per_layer": each},
        margin=f"the share would be no larger if the {sram[0]['machine']} read each layer {plain((1 - most) * sram[0]['token_s'] / sram[0]['in_turn_s'], 2)} "
        "times as slowly.",
        n=len(found),
        range="One user on 70 billion parameters, published speeds without speculation, two of them of hosted services whose load and number of machines "
        "are not public. What is not reading holds starts of kernels and arithmetic as well as agreement. Power and price of chips are without their hosts.",
    )
