"""`bottlenecks chips`: the catalog of chips, or one of them."""

import json

from bottlenecks.command.reports import print_sources
from bottlenecks.facts.units import plain, si


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "chips",
        help="list the catalog, or show one chip with its sources",
        description="Dense peaks, per package, with 32-bit accumulation; memory as the device reports it.",
    )
    parser.add_argument("name", nargs="?", help="a chip, such as 'H100 SXM5'; spelling is forgiven")
    parser.add_argument("--json", action="store_true", help="print JSON in base units")
    parser.set_defaults(run=run)


def run(args):
    from bottlenecks.facts import chips

    if args.name is not None:
        return _one_chip(chips.chip(args.name), args.json)
    if args.json:
        print(json.dumps([_as_json(chip) for chip in chips.chips().values()], indent=1))
        return 0
    print(f"{'chip':28s} {'launch':8s} {'16-bit peak':>14s} {'memory':>8s} {'bandwidth':>10s} {'ridge':>6s}")
    for chip in chips.chips().values():
        peak = next((chip.peaks[f].flop_per_s for f in ("bf16", "fp16") if f in chip.peaks), None)
        print(
            f"{chip.name:28s} {chip.launch:8s} {si(peak, 'FLOP/s') if peak else '-':>14s} {si(chip.memory_bytes, 'B'):>8s} "
            f"{si(chip.memory_bytes_per_s, 'B/s'):>10s} {plain(peak / chip.memory_bytes_per_s) if peak else '-':>6s}"
        )
    return 0


def _as_json(chip):
    return {
        "name": chip.name,
        "launch": chip.launch,
        "memory_bytes": chip.memory_bytes,
        "memory_sold": chip.memory_sold,
        "memory_basis": chip.memory_basis,
        "memory_bytes_per_s": chip.memory_bytes_per_s,
        "tdp_watts": chip.tdp_watts,
        "peak_flop_per_s": {f: peak.flop_per_s for f, peak in chip.peaks.items()},
        "levels": [
            {"name": v.name, "bytes": v.bytes, "bytes_per_s": v.bytes_per_s, "latency_s": v.latency_s}
            for v in chip.levels
        ],
        "confidence": chip.confidence,
        "unconfirmed": chip.unconfirmed,
        "sources": chip.sources,
        "notes": chip.notes,
    }


def _one_chip(chip, as_json):
    if as_json:
        print(json.dumps(_as_json(chip), indent=1))
        return 0
    print(f"{chip.name} ({chip.vendor} {chip.kind}, {chip.launch})")
    for format, peak in chip.peaks.items():
        ridge = peak.flop_per_s / chip.memory_bytes_per_s
        print(f"  {format:12s} {si(peak.flop_per_s, 'FLOP/s'):>14s} dense   ridge {plain(ridge)} FLOP/B")
    if not chip.peaks:
        print("  no dense peak is published")
    rate = si(chip.memory_bytes_per_s, "B/s")
    print(f"  memory       {si(chip.memory_bytes, 'B', 4):>14s} {chip.memory_kind}, {rate}")
    print(f"  sold as      {chip.memory_sold:>14s}   [{chip.memory_basis}]")
    for level in chip.levels:
        facts = [si(v, u) for v, u in ((level.bytes, "B"), (level.bytes_per_s, "B/s"), (level.latency_s, "s")) if v]
        print(f"  {level.name:12s} {', '.join(facts)}" + (f"   [{level.basis}]" if level.basis else ""))
    if chip.tdp_watts:
        print(f"  power        {si(chip.tdp_watts, 'W'):>14s}")
    if chip.notes:
        print(f"  note: {chip.notes}")
    if chip.unconfirmed:
        print(f"  not confirmed by a source: {', '.join(chip.unconfirmed)}")
    print(f"  confidence: {chip.confidence}")
    print_sources(chip.sources)
    return 0
