"""`bottlenecks fits`: does a model fit some chips, and what would make it fit."""

import json

from bottlenecks.command.reports import MOST, shape_of, whole
from bottlenecks.facts.units import si


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "fits",
        help="does a model fit some chips, and what would make it fit",
        description="Bytes on the fullest chip by what they are for, what is missing or left, the "
        "largest batch and context that fit, and the cheapest change that makes it fit: narrower "
        "cache or weights, a shorter context, fewer sequences, more chips; when training, ZeRO, "
        "recomputation, more chips. A bound from below: nothing is held back for fragmentation.",
        epilog="Example: bottlenecks fits Llama-3-70B 'H100 SXM5' --chips 2 --context 32768",
    )
    parser.add_argument("model", help="a model, such as Llama-3-70B, or the path of a config.json")
    parser.add_argument("chip", help="a chip, such as 'H100 SXM5'")
    for name, default, most, about in (
        ("--chips", 1, 2**14, "chips"),
        ("--context", 4096, MOST, "tokens of a sequence, prompt and answer"),
        ("--batch", 1, MOST, "sequences at once; of a micro-batch when training"),
    ):
        parser.add_argument(name, type=whole(most), default=default, help=f"{about} (default: {default})")
    parser.add_argument("--format", help="of weights and cache when serving (default: bf16)")
    parser.add_argument("--train", action="store_true", help="a training step (Adam, mixed precision)")
    parser.add_argument("--json", action="store_true", help="print JSON in bytes")
    parser.set_defaults(run=run)


def run(args):
    from bottlenecks.facts import chips
    from bottlenecks.studies import room

    shape, chip = shape_of(args.model), chips.chip(args.chip)
    asked = {"chips": args.chips, "context": args.context, "batch": args.batch}
    if args.train and args.format is not None:
        raise ValueError("--format is of serving, a training step is in mixed precision: leave out --format or --train")
    if args.train:
        found = room.training(shape, chip, **asked)
    else:
        found = room.serving(shape, chip, **asked, format=args.format or "bf16")
    print(json.dumps(found, indent=1) if args.json else "\n".join(fits_lines(shape, chip, found)))


def fits_lines(model, chip, found):
    """What a chip of a layout holds (`fits`), what is missing, and what to change."""
    yield f"{model.name} on {chip.name}, {found['layout']}: bytes on the fullest chip"
    for name, held in found["rows"].items():
        if held:
            yield f"  {name:14s}{si(held, 'B', 4):>12s}"
    yield f"  {'together':14s}{si(sum(found['rows'].values()), 'B', 4):>12s} of {si(found['memory'], 'B', 4)}"
    short = found["shortfall"]
    yield f"does not fit, by {si(short, 'B', 4)}" if short > 0 else f"fits, with {si(-short, 'B', 4)} to spare"
    if found["change"] is not None:
        yield f"cheapest change that fits: {found['change'] or 'none of those tried'}"
    if "largest batch" in found:
        most, longest = found["largest batch"], found["largest context"]
        yield f"largest batch at this context: {most:,.0f}; longest context at this batch: {longest:,.0f}"
