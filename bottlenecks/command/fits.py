"""`bottlenecks fits`: does a model fit some chips, and what would make it fit."""

import json

from bottlenecks.command.reports import MOST, shape_of, whole
from bottlenecks.facts.units import si

TRAINING = (  # options that are of training alone
    *("recipe", "dp", "cp", "micro_batch", "micro_batches", "recompute", "zero", "lora", "frozen", "loss_chunks"),
    *("logit_bytes", "step_in_backward"),
)
SERVING = ("format", "cache", "prefill_chunk", "full_windows")  # and of serving
HOST = ("states", "gradients", "activations", "weights")  # what may wait on the host
RECOMPUTE = "none, selective (attention), products (every second product), full"


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "fits",
        help="does a model fit some chips, and what would make it fit",
        description="Bytes on the fullest chip by what they are for, what is missing or left beside what is held back, "
        "the largest batch and context that fit, and the cheapest change that makes it fit: narrower cache or weights, "
        "a shorter context, fewer sequences, more chips; when training, ZeRO, a loss in parts, recomputation, states "
        "on the host, more chips.",
        epilog="Examples: bottlenecks fits gpt-oss-120b 'H100 SXM5' --context 32768; bottlenecks fits Llama-3-8B "
        "'RTX 4090' --train --lora 16 --frozen nf4 --recompute full --context 2048",
    )
    parser.add_argument("model", help="a model, such as Llama-3-70B, or the path of a config.json")
    parser.add_argument("chip", help="a chip, such as 'H100 SXM5'")
    parser.add_argument("--chips", type=whole(2**14), default=1, help="chips (default: 1, or what the layout makes)")
    parser.add_argument(
        "--context", type=whole(MOST), default=4096, help="tokens of a sequence, prompt and answer (default: 4096)"
    )
    parser.add_argument(
        "--batch", type=whole(MOST), help="sequences at once; of a micro-batch when training (default: 1)"
    )
    parser.add_argument("--tp", type=whole(2**14), metavar="N", help="tensor-parallel ranks")
    parser.add_argument("--pp", type=whole(2**14), metavar="N", help="pipeline stages")
    parser.add_argument("--ep", type=whole(2**14), metavar="N", help="expert-parallel ranks")
    parser.add_argument(
        "--held-back",
        metavar="SHARE",
        help="of the memory, such as 0.1 or 8GB, that nothing of this may use (default: "
        "a tenth, as servers leave it alone; when training, what measured runs held beyond their tensors)",
    )
    parser.add_argument(
        "--offload",
        metavar="WHAT",
        help="what waits on the host: states (of the optimiser, paged ones too), gradients, "
        "activations, weights, some with a comma between them; a part of it as states=0.5; when serving, weights alone",
    )
    parser.add_argument("--json", action="store_true", help="print JSON in bytes")
    _add_serving(parser.add_argument_group("serving"))
    _add_training(parser.add_argument_group("training"))
    parser.set_defaults(run=run)


def _add_serving(group):
    group.add_argument(
        "--format",
        help="of the weights, as people write it: bf16, fp8, mxfp4, awq, nf4, Q4_0 ... (default: as released)",
    )
    group.add_argument("--cache", help="of the cache: bf16, fp8 ... (default: 16 bits, whatever the weights are in)")
    group.add_argument(
        "--prefill-chunk", type=whole(MOST), metavar="TOKENS", help="of prompts, in one pass (default: 8192)"
    )
    group.add_argument(
        "--full-windows", action="store_true", help="the engine keeps every token for layers with a window too"
    )


def _add_training(group):
    group.add_argument(
        "--train", action="store_true", help="a training step, in mixed precision with Adam unless told otherwise"
    )
    group.add_argument(
        "--recipe",
        help="what the optimiser keeps: adam; 'adam, bf16 alone'; 'adam, 8-bit alone'; adafactor; ... (LoRA: --lora)",
    )
    group.add_argument("--dp", type=whole(2**14), metavar="N", help="data-parallel ranks")
    group.add_argument("--cp", type=whole(2**14), metavar="N", help="context-parallel ranks")
    group.add_argument(
        "--micro-batch", type=whole(MOST), metavar="N", help="sequences of a micro-batch; the same as --batch"
    )
    group.add_argument(
        "--micro-batches", type=whole(MOST), metavar="N", help="of a step, on each data-parallel rank (default: 1)"
    )
    group.add_argument("--recompute", help=f"{RECOMPUTE} (default: none)")
    group.add_argument("--zero", type=int, choices=range(4), help="stage of ZeRO; 3 is FSDP (default: 0)")
    group.add_argument(
        "--lora", type=whole(2**14), metavar="RANK", help="of adapters on every matrix; the rest is frozen"
    )
    group.add_argument(
        "--frozen", metavar="FORMAT", help="of the frozen weights: bf16, nf4, nf4 double ... (default: bf16)"
    )
    group.add_argument(
        "--loss-chunks", type=whole(MOST), metavar="N", help="parts of a fused or chunked loss (default: 1)"
    )
    group.add_argument(
        "--logit-bytes",
        type=float,
        metavar="B",
        help="of a logit, over all copies alive (default: 10; a loss of several kernels 16)",
    )
    group.add_argument("--step-in-backward", action="store_true", help="each gradient is used as soon as it is made")


def run(args):
    from bottlenecks.facts import chips

    of_training, of_serving = (_given(args, names) for names in (TRAINING, SERVING))
    if of_serving and args.train:
        raise ValueError(f"{_option(of_serving[0])} is of serving: leave out {_option(of_serving[0])} or --train")
    if of_training and not args.train:
        raise ValueError(f"{_option(of_training[0])} is of training: add --train or leave it out")
    shape, chip = shape_of(args.model), chips.chip(args.chip)
    found = (_training if args.train else _serving)(args, shape, chip)
    print(json.dumps(found, indent=1) if args.json else "\n".join(fits_lines(shape, chip, found)))


def _given(args, names):
    return [name for name in names if getattr(args, name) not in (None, False)]


def _option(name):
    return f"--{name.replace('_', '-')}"


def _asked(args):
    """What serving and training ask alike."""
    asked = {"chips": args.chips, "context": args.context, "batch": args.batch or 1, "tp": args.tp, "pp": args.pp}
    return asked | ({} if args.held_back is None else {"held_back": _amount("--held-back", args.held_back)})


def _serving(args, shape, chip):
    from bottlenecks.studies import room

    asked = _asked(args) | {"full_windows": args.full_windows, "ep": args.ep or 1}
    for name, value in (("format", args.format), ("cache_format", args.cache), ("prefill", args.prefill_chunk)):
        asked |= {} if value is None else {name: value}
    away = _offloaded(args.offload, default="weights")
    if set(away) - {"weights"}:
        raise ValueError(f"--offload takes weights when serving, such as weights=0.5, got {args.offload!r}")
    return room.serving(shape, chip, **asked, offloaded=away.get("weights", 0.0))


def _training(args, shape, chip):
    from bottlenecks.facts import formats
    from bottlenecks.studies import room

    if args.batch and args.micro_batch:
        raise ValueError("--micro-batch is --batch when training: leave out one of them")
    if args.frozen is not None and args.lora is None:
        raise ValueError("--frozen is of the weights beside adapters: add --lora RANK")
    frozen = None if args.frozen is None else formats.stored_bytes(args.frozen)
    asked = _asked(args) | {"batch": args.micro_batch or args.batch or 1}
    names = {"recipe": "recipe", "dp": "dp", "cp": "cp", "ep": "ep", "micro_batches": "micro_batches", "zero": "zero"}
    names |= {
        "recompute": "recompute",
        "lora": "lora_rank",
        "loss_chunks": "loss_parts",
        "logit_bytes": "bytes_per_logit",
    }
    asked |= {field: getattr(args, name) for name, field in names.items()}
    away = {f"offloaded_{what}": part for what, part in _offloaded(args.offload, default="states").items()}
    return room.training(
        shape, chip, **asked, frozen_bytes=frozen, step_in_backward=args.step_in_backward or None, **away
    )


def _offloaded(text, default):
    """{what: share} of --offload: "states", "states,activations=0.5", or a share of what is usual."""
    from bottlenecks.facts.doors import one_of, share

    found = {}
    for part in (text or "").split(","):
        what, equals, amount = (piece.strip() for piece in part.partition("="))
        if what and not equals and what[0].isdigit():
            what, equals, amount = default, "=", what
        if what:
            found[one_of("--offload", what, HOST)] = share("--offload", _amount("--offload", amount)) if equals else 1.0
    return found


def _amount(option, text):
    """A share (0.1, 10%), or bytes (8GB)."""
    from bottlenecks.facts.units import parse_quantity

    text = text.strip()
    if text in ("0", "0.0", "0%"):
        return 0.0
    try:
        if text.endswith("%"):
            return parse_quantity(text[:-1], "") / 100
        return parse_quantity(text, "B" if text[-1:].casefold() == "b" else "")
    except ValueError as why:
        raise ValueError(f"{option} must be a share, such as 0.1, or bytes, such as 8GB, got {text!r}") from why


def fits_lines(model, chip, found):
    """What a chip of a layout holds (`fits`), what is held back, what is missing, and what to change."""
    weights = f", weights in {found['weights']}" if "weights" in found else ""
    yield f"{model.name} on {chip.name}, {found['layout']}{weights}: bytes on the fullest chip"
    for name, held in found["rows"].items():
        if held:
            yield f"  {name:14s}{si(held, 'B', 4):>12s}"
    beside = found["held back"] - found["rows"].get("reserve", 0)
    if beside > 0:
        yield f"  {'held back':14s}{si(beside, 'B', 4):>12s}"
    together = sum(found["rows"].values()) + max(beside, 0)
    yield f"  {'together':14s}{si(together, 'B', 4):>12s} of {si(found['memory'], 'B', 4)}"
    yield f"held back: {si(found['held back'], 'B', 4)}, {found['held for']}"
    short = found["shortfall"]
    yield f"does not fit, by {si(short, 'B', 4)}" if short > 0 else f"fits, with {si(-short, 'B', 4)} to spare"
    if found["change"] is not None:
        yield f"cheapest change that fits: {found['change'] or 'none of those tried'}"
    if "largest batch" in found:
        most, longest = found["largest batch"], found["largest context"]
        own = longest < found["of memory alone"]
        capped = f" (the model's own; the memory would hold {found['of memory alone']:,.0f})" if own else ""
        yield f"largest batch at this context: {most:,.0f}; longest context at this batch: {longest:,.0f}{capped}"
    yield from found["remarks"]
