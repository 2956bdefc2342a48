"""`bottlenecks search`: the layouts of a training run, ranked."""

import json
import signal
import threading
from contextlib import contextmanager

from bottlenecks.command.reports import MOST, MOST_CHIPS, calibration_of, percent, shape_of, whole
from bottlenecks.facts.units import plain, si

SHORT = {"micro_batch": "micro", "micro_batches": "times", "recompute": "again"}  # heads of columns


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "search",
        help="rank the layouts of a model's training on a system",
        description="Evaluate every valid layout (tensor, pipeline, context, expert and data "
        "parallelism, ZeRO, micro-batch, recomputation, schedule) and print the fastest that "
        "fit, who owns the second of the best, and what doubling each resource would bring.",
        epilog="Example: bottlenecks search 'GPT-3 175B' 'DGX H100' --chips 512",
    )
    parser.add_argument("model", metavar="MODEL", help="a model of the catalog, or a config.json")
    parser.add_argument("system", metavar="SYSTEM", help="a system or a chip of the catalog")
    parser.add_argument("--chips", type=whole(MOST_CHIPS), required=True)
    parser.add_argument("--batch", type=whole(MOST), help="sequences a step (default: about 4 million tokens)")
    parser.add_argument("--seq", type=whole(MOST), default=4096, help="tokens of a sequence (default: 4096)")
    parser.add_argument("--format", default="bf16", help="of the products (default: bf16)")
    parser.add_argument(
        "--software", default="2025", help="a stack of data/software.csv, or the tuned one of a year (default: 2025)"
    )
    parser.add_argument("--top", type=whole(1_000), default=10, help="layouts to print (default: 10)")
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        help="of your cluster, as `bottlenecks calibrate training` wrote it: steps take its times",
    )
    parser.add_argument(
        "--links", action="store_true", help="print what the links of each tier carry in a step of the best, too"
    )
    parser.add_argument("--jobs", type=whole(256), default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON in base units")
    parser.set_defaults(run=run)


def run(args):
    from bottlenecks.facts.chips import chip, find_chip
    from bottlenecks.facts.networks import find_system, system
    from bottlenecks.models.machine import machine
    from bottlenecks.studies import search
    from bottlenecks.yours import calibrated

    alone = find_chip(args.system) and not find_system(args.system)  # a DGX H100 is more than its chip
    where = chip(args.system) if alone else system(args.system)
    on = machine(where, args.format)
    most = on.tiers[-1].ranks if on.tiers else 1
    if most is not None and args.chips > most:
        raise ValueError(f"--chips must be at most {most}, all that {where.name} has, got {args.chips}")
    batch = args.batch if args.batch is not None else args.chips * max(2**22 // args.seq // args.chips, 1)
    shape, times = shape_of(args.model), 1.0
    if args.calibration:
        times = calibrated.times_of_training(calibration_of(args.calibration, "training"))
    with _pool(args.jobs) as executor:
        asked = {"chips": args.chips, "batch": batch, "seq_len": args.seq, "software": args.software, "keep": args.top}
        found = search.search(shape, on, **asked, executor=executor)
    if args.json:
        print(json.dumps(search_json(found, times, links=args.links), indent=1))
    else:
        print("\n".join((*search_lines(found, times), *(links_lines(found) if args.links else ()))))
    return 0 if found.fitting else 1


@contextmanager
def _pool(jobs):
    """Processes that share the work, None for one. Ctrl-C is told to this process alone, which ends them."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import active_children, get_context

    if jobs == 1:
        yield None
        return
    # A fork would copy a process that has threads, such as those of the linear algebra.
    pool = ProcessPoolExecutor(jobs, get_context("spawn"))
    try:
        with _deaf():
            for _ in range(jobs):
                pool.submit(int)  # each starts a process
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in active_children():
            child.terminate()
        raise
    pool.shutdown()


@contextmanager
def _deaf():
    """Processes that are started in here do not hear Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def search_lines(found, times=1.0):
    """The best layouts, who owns the second of the first, and what to buy next; steps take `times` those of a tuned program."""
    from bottlenecks.studies import search

    yield f"{found.valid} valid layouts, {found.fitting} fit"
    if not found.fitting:
        near = ", ".join(f"{k} {v}" for k, v in _named(found.nearest).items())
        yield f"the nearest lacks {si(found.least_shortfall_bytes, 'B')} a chip: {near}"
        return
    if times != 1:
        yield f"steps of your cluster: {plain(times)} times those of a well-tuned program, whose shares and rows stand below"
    head = ("step", "MFU", "memory", *(SHORT.get(n, n) for n in search.COLUMNS))
    yield "".join(f"{cell:>12s}" for cell in head)
    mfu = _mfu(found, times)
    for i in range(found.best["seconds"].size):
        at = {name: values[i] for name, values in found.best.items()}
        named = _named({n: at[n] for n in search.COLUMNS})
        cells = (si(times * at["seconds"], "s"), percent(mfu[i]), si(at["memory_bytes"], "B"), *named.values())
        yield "".join(f"{cell!s:>12s}" for cell in cells)
    layout = found.layout()
    owners = search.owners(found.model, layout, found.on, found.software)
    yield "the second of the best: " + ", ".join(f"{o} {percent(v)}" for o, v in owners.items())
    step = found.step()
    rows = sorted(step.rows.items(), key=lambda item: -item[1])
    told = [f"{name} {percent(float(s / step.seconds))}" for name, s in rows if s > 0.005 * step.seconds]
    yield "its rows: " + ", ".join(told)
    gains = search.doubled(found.model, layout, found.on, found.software)
    best = max(gains, key=gains.get)
    others = ", ".join(f"{o} {plain(v)}" for o, v in gains.items() if o != best)
    yield f"buy {best}: twice as much makes it {plain(gains[best])} times as fast; {others}"


def links_lines(found):
    """Bytes and seconds of each tier's links in a step of the best layout, and the hottest of them."""
    from bottlenecks.models import wires

    tiers = links_of(found)
    if not tiers:
        yield "no links: no layout fits, or one chip is alone"
        return
    step_s = float(found.step().seconds)
    sent = [name for name in wires.EXCHANGES if any(tier["moved_bytes"][name] for tier in tiers)]
    yield "links of a chip, bytes a step in one direction; busy: seconds at what the library reaches, hidden or not"
    yield "".join(f"{cell:>18s}" for cell in ("tier", *sent, "busy", "of the step"))
    for tier in tiers:
        cells = [si(tier["moved_bytes"][name], "B") for name in sent]
        told = (tier["tier"], *cells, si(tier["busy_s"], "s"), percent(tier["busy_s"] / step_s))
        yield "".join(f"{cell:>18s}" for cell in told)
    hottest = next((tier["tier"] for tier in tiers if tier["hottest"]), "none, nothing is sent")
    yield f"the hottest links: {hottest}"


def search_json(found, times=1.0, *, links=False):
    """The same as numbers in base units; the rows of a step are those of a tuned program."""
    from bottlenecks.studies import search

    mfu = _mfu(found, times)
    best = [
        _named({n: found.best[n][i] for n in search.COLUMNS})
        | {"seconds": times * float(found.best["seconds"][i]), "memory_bytes": float(found.best["memory_bytes"][i])}
        | {"mfu": float(mfu[i])}
        for i in range(found.best["seconds"].size)
    ]
    content = {
        "valid": found.valid,
        "fitting": found.fitting,
        "best": best,
        "least_shortfall_bytes": float(found.least_shortfall_bytes),
    }
    if times != 1:
        content["times_tuned"] = times
    if found.fitting:
        where = (found.model, found.layout(), found.on, found.software)
        content["shares"] = {o: float(v) for o, v in search.owners(*where).items()}
        content["doubled"] = {o: float(v) for o, v in search.doubled(*where).items()}
        content["rows_s"] = {name: float(s) for name, s in found.step().rows.items()}
        if links:
            content["links"] = links_of(found)
    return content


def links_of(found):
    """Each tier of the machine with what its links carry in a step of the best layout, in base units; none without a second chip."""
    from bottlenecks.models import wires

    if not found.on.tiers or not found.fitting:
        return []
    laid = wires.laid(found.model, found.layout(), on=found.on, software=found.software)
    return [
        {"tier": tier, "busy_s": float(laid.busy_s[i]), "hottest": bool(tier == laid.hottest)}
        | {"moved_bytes": {name: float(moved[i]) for name, moved in laid.moved_bytes.items()}}
        for i, tier in enumerate(laid.tiers)
    ]


def _named(columns):
    """A layout's columns with its choices as words."""
    from bottlenecks.laws.pipelines import SCHEDULES
    from bottlenecks.laws.recomputation import POLICIES

    words = {"recompute": POLICIES, "schedule": SCHEDULES}
    return {n: words[n][int(v)] if n in words else int(v) for n, v in columns.items()}


def _mfu(found, times):
    return [float(found.step(i).mfu) / times for i in range(found.best["seconds"].size)]
