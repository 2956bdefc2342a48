"""`bottlenecks systems`: the catalog of systems, or one of them with its tiers."""

import json

from bottlenecks.command.reports import print_sources
from bottlenecks.facts.units import si


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "systems",
        help="list the systems, or show one with its tiers",
        description="Bandwidth is per chip and one direction; tiers stand from the inside out.",
    )
    parser.add_argument("name", nargs="?", help="a system, such as 'DGX H100'; spelling is forgiven")
    parser.add_argument("--json", action="store_true", help="print JSON in base units")
    parser.set_defaults(run=run)


def run(args):
    from bottlenecks.facts import networks

    chosen = [networks.system(args.name)] if args.name is not None else list(networks.systems().values())
    if args.json:
        print(json.dumps([_system_as_json(each) for each in chosen], indent=1))
        return 0
    for each in chosen:
        chip = each.chip.name if each.chip else each.facts["chip"]
        print(f"{each.name}: {each.chips or 'any number of'} x {chip}")
        for tier in each.tiers if args.name is not None else ():
            ranks = "as many as are bought" if tier.ranks is None else f"{tier.ranks} chips"
            print(
                f"  {tier.name:12s} {ranks}, {si(tier.bytes_per_s, 'B/s')} a chip and direction"
                + (f", {si(tier.latency_s, 's')}" if tier.latency_s else "")
                + (f", {tier.oversubscription:g} times oversubscribed" if tier.oversubscription > 1 else "")
                + (", sums in the network" if tier.in_network_reduction else "")
            )
    if args.name is not None:
        if chosen[0].notes:
            print(f"  note: {chosen[0].notes}")
        print(f"  confidence: {chosen[0].confidence}")
        print_sources(chosen[0].sources)
    return 0


def _system_as_json(system):
    return {
        "name": system.name,
        "chip": system.chip.name if system.chip else None,
        "chips": system.chips,
        "tiers": [
            {
                "name": t.name,
                "ranks": t.ranks,
                "bytes_per_s": t.bytes_per_s,
                "latency_s": t.latency_s,
                "oversubscription": t.oversubscription,
                "in_network_reduction": t.in_network_reduction,
            }
            for t in system.tiers
        ],
        "confidence": system.confidence,
        "sources": system.sources,
        "notes": system.notes,
    }
