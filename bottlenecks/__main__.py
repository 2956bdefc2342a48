"""The command line: figures, measure, predict, score, fits, search, chips, models, systems, sources."""

import argparse
import json
import os
import sys
from pathlib import Path

from bottlenecks import __version__
from bottlenecks.facts.doors import one_of
from bottlenecks.facts.units import plain, si
from bottlenecks.models.machine import machine


def main(argv=None):
    """Run one command; a mistake in the input is one line on stderr and exit status 2."""
    args = _parser().parse_args(argv)
    try:
        status = args.run(args) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to say
        return 0
    except (ValueError, OSError) as problem:
        print(f"bottlenecks {args.command}: {problem}", file=sys.stderr)
        return 2


def _parser():
    parser = argparse.ArgumentParser(
        prog="bottlenecks",
        description="Where the time of an AI computation goes.",
        epilog="Example: bottlenecks figures 01-roofline --set rows=256 --format pdf",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    figures = commands.add_parser(
        "figures",
        help="draw the book's figures, with their tables",
        description="Write figures, each with the table that it draws (CSV). With a slug, "
        "also print its caption and how to cite it.",
    )
    figures.add_argument("slug", nargs="?", help="one figure, such as 01-roofline (default: all)")
    figures.add_argument("--format", default="svg", choices=("svg", "png", "pdf"))
    figures.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a control; may repeat"
    )
    figures.add_argument("--out", default="figures", metavar="FOLDER", help="where to write (default: figures)")
    figures.add_argument("--list", action="store_true", help="list slugs and controls, draw nothing")
    figures.add_argument("--check", action="store_true", help="compare with the files in FOLDER, write nothing")
    figures.set_defaults(run=_figures)

    measuring = commands.add_parser(
        "measure",
        help="measure this machine's roofline (under a minute)",
        description="Measure matrix products, bandwidth and latency of this machine, save the "
        "result in your data folder and print a summary. Chapter 01 draws it. With --corpus, "
        "measure kernels instead (matrix products and attention by shape and format, "
        "elementwise operations, copies, launches) and write them to a new CSV file, in "
        "the columns of the package's kernels_measured.csv; Ctrl-C keeps what is found.",
    )
    measuring.add_argument(
        "--seconds", type=float, help="time to spend, 5 to 55 (default: 45); with --corpus 5 to 3600 (default: 60)"
    )
    measuring.add_argument("--corpus", metavar="OUT.csv", help="write kernels as rows of the corpus to this new file")
    measuring.add_argument("--folder", help="where to save (default: your data folder, or BOTTLENECKS_DATA)")
    measuring.add_argument("--json", action="store_true", help="print the result as JSON as well")
    measuring.set_defaults(run=_measure)

    predicting = commands.add_parser(
        "predict",
        help="predict the rows of a CSV file: your own runs",
        description="Write the rows of IN.csv, in order and with all of their columns, and "
        "beside them: predicted, low and high (80 % of measurements lie between), measured, "
        "unit, ratio (predicted over measured), bound (the resource with the largest share), "
        "assumed (what the row leaves open) and reason (why there is no prediction). Columns "
        "are those of the package's kernels_measured.csv, inference_measured.csv, collectives_measured.csv or "
        "training_measured.csv; for a matrix product chip, kernel, dtype, m, n and k are "
        "enough, for a training run chip, n_chips, model and global_batch_seqs. Others may "
        "stand beside them.",
        epilog="Example: bottlenecks predict kernels mine.csv -o predicted.csv",
    )
    predicting.add_argument(
        "kind", metavar="KIND", help="what the rows are: kernels, inference, collectives or training"
    )
    predicting.add_argument("file", metavar="IN.csv", help="the rows")
    predicting.add_argument("-o", "--out", metavar="OUT.csv", help="where to write (default: standard output)")
    predicting.set_defaults(run=_predict)

    scoring = commands.add_parser(
        "score",
        help="the errors of the predictions on the measured corpus",
        description="For each source of measurements and group of rows: rows, those scored, "
        "error (mean of |predicted / measured - 1|), bias, worst predicted / measured, and the "
        "share of measurements inside the 80 % interval. Constants are fitted on sources with "
        "the role fit alone; no number comes from a held-out source.",
        epilog="Example: bottlenecks score kernels --unscored",
    )
    scoring.add_argument("kind", metavar="KIND", help="what the rows are: kernels, inference, collectives or training")
    scoring.add_argument("--json", action="store_true", help="print JSON; errors as fractions")
    scoring.add_argument("--unscored", action="store_true", help="why rows have no prediction, instead of the errors")
    scoring.set_defaults(run=_score)

    fitting = commands.add_parser(
        "fits",
        help="does a model fit some chips, and what would make it fit",
        description="Bytes on the fullest chip by what they are for, what is missing or left, the "
        "largest batch and context that fit, and the cheapest change that makes it fit: narrower "
        "cache or weights, a shorter context, fewer sequences, more chips; when training, ZeRO, "
        "recomputation, more chips. A bound from below: nothing is held back for fragmentation.",
        epilog="Example: bottlenecks fits Llama-3-70B 'H100 SXM5' --chips 2 --context 32768",
    )
    fitting.add_argument("model", help="a model, such as Llama-3-70B, or the path of a config.json")
    fitting.add_argument("chip", help="a chip, such as 'H100 SXM5'")
    for name, default, about in (
        ("--chips", 1, "chips"),
        ("--context", 4096, "tokens of a sequence, prompt and answer"),
        ("--batch", 1, "sequences at once; of a micro-batch when training"),
    ):
        fitting.add_argument(name, type=int, default=default, help=f"{about} (default: {default})")
    fitting.add_argument("--format", default="bf16", help="of weights and cache when serving (default: bf16)")
    fitting.add_argument("--train", action="store_true", help="a training step (Adam, mixed precision)")
    fitting.add_argument("--json", action="store_true", help="print JSON in bytes")
    fitting.set_defaults(run=_fits)

    searching = commands.add_parser(
        "search",
        help="rank the layouts of a model's training on a system",
        description="Evaluate every valid layout (tensor, pipeline, context, expert and data "
        "parallelism, ZeRO, micro-batch, recomputation, schedule) and print the fastest that "
        "fit, who owns the second of the best, and what doubling each resource would bring.",
        epilog="Example: bottlenecks search 'GPT-3 175B' 'DGX H100' --chips 512",
    )
    searching.add_argument("model", metavar="MODEL", help="a model of the catalog")
    searching.add_argument("system", metavar="SYSTEM", help="a system or a chip of the catalog")
    searching.add_argument("--chips", type=int, required=True)
    searching.add_argument("--batch", type=int, help="sequences a step (default: about 4 million tokens)")
    searching.add_argument("--seq", type=int, default=4096, help="tokens of a sequence (default: 4096)")
    searching.add_argument("--format", default="bf16", help="of the products (default: bf16)")
    searching.add_argument(
        "--software", default="2025", help="a stack of data/software.csv, or the tuned one of a year (default: 2025)"
    )
    searching.add_argument("--top", type=int, default=10, help="layouts to print (default: 10)")
    searching.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes that share the work (default: 1)"
    )
    searching.add_argument("--json", action="store_true", help="print JSON in base units")
    searching.set_defaults(run=_search)

    listing = commands.add_parser(
        "chips",
        help="list the catalog, or show one chip with its sources",
        description="Dense peaks, per package, with 32-bit accumulation; decimal bytes.",
    )
    listing.add_argument("name", nargs="?", help="a chip, such as 'H100 SXM5'; spelling is forgiven")
    listing.add_argument("--json", action="store_true", help="print JSON in base units")
    listing.set_defaults(run=_chips)

    shapes = commands.add_parser(
        "models",
        help="list the models, or show one; a Hugging Face config.json works as well",
        description="Parameters are counted from the shapes; published totals stand beside them.",
    )
    shapes.add_argument("name", nargs="?", help="a model, such as Llama-3-8B, or the path of a config.json")
    shapes.add_argument("--json", action="store_true", help="print JSON")
    shapes.set_defaults(run=_models)

    machines = commands.add_parser(
        "systems",
        help="list the systems, or show one with its tiers",
        description="Bandwidth is per chip and one direction; tiers stand from the inside out.",
    )
    machines.add_argument("name", nargs="?", help="a system, such as 'DGX H100'; spelling is forgiven")
    machines.add_argument("--json", action="store_true", help="print JSON in base units")
    machines.set_defaults(run=_systems)

    citing = commands.add_parser(
        "sources",
        help="list the bibliography, or show one source and what it is the source of",
        description="Every number of the package cites a key of one bibliography.",
    )
    citing.add_argument("key", nargs="?", help="a key, such as williams2009roofline")
    citing.set_defaults(run=_sources)
    return parser


def _figures(args):
    from bottlenecks.exhibits import registry

    everything = registry.load_all()
    chosen = [registry.exhibit(args.slug)] if args.slug else list(everything.values())
    if args.set and not args.slug:
        raise ValueError("--set needs a slug: which figure's control is it?")
    if args.list:
        for each in chosen:
            print(f"{each.slug:20s} {each.title}")
            for name, control in each.controls.items():
                ends = ", ".join(control.values) if control.is_menu else f"{control.values[0]} to {control.values[-1]}"
                print(f"    --set {name}={control.start!s:16s} {ends}")
        return 0
    settings = dict(_setting(chosen[0], text) for text in args.set)
    if args.check:
        return _check_figures(chosen, Path(args.out))
    folder = _folder(args.out)
    for each in chosen:
        picture = each(**settings)
        stem = each.slug + "".join(f"-{name}-{_slug(value)}" for name, value in settings.items())
        picture.save(folder / f"{stem}.{args.format}")
        registry.write_csv(picture.table, folder / f"{stem}.csv")
        print(folder / f"{stem}.{args.format}")
        if args.slug:
            print(f"\n{each.title} {each.caption}\n{picture.summary}\n\n{_citation(each, picture)}")
    return 0


def _setting(exhibit, text):
    """One NAME=VALUE as the control's own kind of value."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set takes NAME=VALUE, got {text!r}")
    one_of(f"{exhibit.slug}: control", name, exhibit.controls)
    if exhibit.controls[name].is_menu:
        return name, value
    try:
        return name, float(value)
    except ValueError:
        raise ValueError(f"{exhibit.slug}: {name} must be a number, got {value!r}") from None


def _slug(value):
    return "".join(c if c.isalnum() else "-" for c in (f"{value:g}" if isinstance(value, float) else value)).strip("-")


def _folder(out):
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(f"can not write into {folder} ({error.strerror}): pass another with --out") from error
    return folder


def _citation(exhibit, picture):
    from bottlenecks import data

    settings = ", ".join(f"{name} = {value}" for name, value in picture.settings.items())
    lines = [
        f'Cite as: bottlenecks {__version__}, figure {exhibit.slug} ("{exhibit.title}"), {settings or "defaults"}. '
        "Text and figures: CC BY 4.0. Data:"
    ]
    for key in exhibit.sources:
        entry = data.references()[key]
        lines.append(
            f"  {entry.get('author', '')} ({entry.get('year', 'n.d.')}) {entry['title']}. {entry.get('url', '')}"
        )
    return "\n".join(lines)


def _check_figures(chosen, folder):
    """Exit status 1 when a committed table (to 1e-5) or picture (to the byte) differs."""
    import io

    from bottlenecks.exhibits import registry

    problems = []
    for each in chosen:
        picture = each()
        problems += table_problems(each.slug, picture.table, folder / f"{each.slug}.csv")
        svg, drawn = folder / f"{each.slug}.svg", io.BytesIO()
        picture.save(drawn, format="svg")
        if not svg.is_file():
            problems.append(f"{svg} is missing")
        elif registry.drawn_by(svg.read_bytes()) != registry.drawn_by(drawn.getvalue()):
            print(f"{svg}: drawn by {registry.drawn_by(svg.read_bytes())}, not compared")
        elif svg.read_bytes() != drawn.getvalue():
            problems.append(f"{svg} differs from what is drawn now")
    for problem in problems:
        print(problem)
    print(f"{len(chosen)} figures checked, {len(problems)} problems")
    return 1 if problems else 0


def table_problems(slug, table, path):
    """How a figure's table differs from the committed one, as a list of lines."""
    import numpy as np

    from bottlenecks.exhibits import registry

    if not path.is_file():
        return [f"{path} is missing: run `bottlenecks figures {slug}`"]
    kept = registry.read_csv(path)
    if list(kept) != list(table) or any(kept[c].size != np.size(table[c]) for c in table):
        return [f"{path}: other columns or rows than the table has now"]
    return [f"{path}: column {name} differs" for name, values in table.items() if not _same(kept[name], values)]


def _same(kept, values):
    import numpy as np

    if kept.dtype.kind == "U" or values.dtype.kind == "U":
        return bool(np.all(kept.astype(str) == values.astype(str)))
    return bool(np.allclose(kept, values, rtol=1e-5, atol=0, equal_nan=True))


def _measure(args):
    from bottlenecks.facts.doors import between
    from bottlenecks.yours import roofline

    if args.corpus is not None:
        return _measure_corpus(args)
    seconds = between("--seconds", 45.0 if args.seconds is None else args.seconds, 5, 55)
    result = roofline.measure(budget_s=seconds, progress=roofline.bar())
    print(roofline.summary(result))
    if args.json:
        print(json.dumps(result, indent=1))
    try:
        print(f"saved in {roofline.save(result, args.folder)}")
    except OSError:
        if not args.json:
            print(json.dumps(result))  # nothing measured is lost
        raise


def _measure_corpus(args):
    """Exit status 130, as a shell's, after Ctrl-C; 1 when nothing could be measured."""
    from bottlenecks.facts.doors import between
    from bottlenecks.yours import roofline, sweeps

    if args.json or args.folder:
        raise ValueError("--corpus writes to its own file: leave out --json and --folder")
    seconds = between("--seconds", 60.0 if args.seconds is None else args.seconds, 5, 3600)
    done = sweeps.sweep(args.corpus, budget_s=seconds, progress=roofline.bar())
    for reason, times in done["skipped"].items():
        print(f"skipped {reason}" + (f" ({times} rows)" if times > 1 else ""))
    if done["busy"]:
        print(f"{done['busy']} rows were slowed by other programs (their notes say so): run it again")
    print(f"{done['rows']} rows in {done['path']}" if done["rows"] else "nothing was measured")
    return 130 if done["stopped"] else 0 if done["rows"] else 1


def _predict(args):
    from bottlenecks.command import reports
    from bottlenecks.measured import frame

    found = frame.predict_file(args.kind, args.file, args.out or sys.stdout)
    if args.out:
        print(f"{args.out}: {reports.summary_line(found)}")


def _score(args):
    from bottlenecks.command import reports
    from bottlenecks.measured import frame

    if args.unscored:
        reasons = frame.unscored(args.kind)
        lines, content = reports.unscored_lines(reasons), reasons
    else:
        of = frame.of_corpus(args.kind)
        table, rows = frame.score(args.kind, of), frame.rows_summary(args.kind, of)
        blank = [{k: None if v != v else v for k, v in row.items()} for row in table]
        lines = (*reports.score_lines(table), *reports.rows_lines(rows))
        content = {"scores": blank, "summary": frame.summary(table), "rows": rows}
    print(json.dumps(content, indent=1) if args.json else "\n".join(lines))


def _fits(args):
    from bottlenecks.command import reports
    from bottlenecks.facts import chips
    from bottlenecks.studies import room

    shape, chip = _shape(args.model), chips.chip(args.chip)
    asked = {"chips": args.chips, "context": args.context, "batch": args.batch}
    if args.train:
        found = room.training(shape, chip, **asked)
    else:
        found = room.serving(shape, chip, **asked, format=args.format)
    print(json.dumps(found, indent=1) if args.json else "\n".join(reports.fits_lines(shape, chip, found)))


def _shape(name):
    """A model of the catalog, or the one of a config.json."""
    from bottlenecks.facts import architectures

    is_file = name.endswith(".json") or Path(name).is_file()
    return architectures.from_config(name) if is_file else architectures.model(name)


def _search(args):
    from concurrent.futures import ProcessPoolExecutor
    from contextlib import nullcontext
    from multiprocessing import get_context

    from bottlenecks.command import reports
    from bottlenecks.facts.architectures import model
    from bottlenecks.facts.chips import chip, find_chip
    from bottlenecks.facts.doors import positive
    from bottlenecks.facts.networks import system
    from bottlenecks.studies import search

    positive("--seq", args.seq)
    positive("--chips", args.chips)
    positive("--top", args.top)
    positive("--jobs", args.jobs)
    where = chip(args.system) if find_chip(args.system) else system(args.system)
    on = machine(where, args.format)
    most = on.tiers[-1].ranks if on.tiers else 1
    if most is not None and args.chips > most:
        raise ValueError(f"--chips must be at most {most}, all that {where.name} has, got {args.chips}")
    batch = args.batch or args.chips * max(2**22 // args.seq // args.chips, 1)
    # A fork would copy a process that has threads, such as those of the linear algebra.
    pool = ProcessPoolExecutor(args.jobs, get_context("spawn")) if args.jobs > 1 else nullcontext()
    with pool as executor:
        found = search.search(
            model(args.model),
            on,
            chips=args.chips,
            batch=batch,
            seq_len=args.seq,
            software=args.software,
            keep=args.top,
            executor=executor,
        )
    print("\n".join(reports.search_lines(found)) if not args.json else json.dumps(reports.search_json(found), indent=1))
    return 0 if found.fitting else 1


def _chips(args):
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
    print(f"  memory       {si(chip.memory_bytes, 'B'):>14s} {chip.memory_kind}, {si(chip.memory_bytes_per_s, 'B/s')}")
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
    _print_sources(chip.sources)
    return 0


def _models(args):
    from dataclasses import asdict

    from bottlenecks.facts import architectures

    if args.name is None:
        if args.json:
            print(json.dumps([asdict(m) for m in architectures.models().values()], indent=1))
            return 0
        print(f"{'model':32s} {'params':>9s} {'active':>9s} {'layers':>6s} {'width':>6s} attention  known from")
        for m in architectures.models().values():
            print(
                f"{m.name:32s} {plain(m.params / 1e9):>7s} B {plain(m.active_params / 1e9):>7s} B {m.layers:6d} "
                f"{m.width:6d} {m.attention:10s} {m.confidence}"
            )
        return 0
    shape = _shape(args.name)
    if args.json:
        print(json.dumps(asdict(shape), indent=1))
        return 0
    print(
        f"{shape.name}: {plain(shape.params / 1e9, 4)} B parameters from the shapes, {plain(shape.active_params / 1e9, 4)} B active"
    )
    if shape.published_params:
        print(f"  published: {plain(shape.published_params / 1e9, 4)} B")
    for name, value in asdict(shape).items():
        if value not in (None, 0, "", ()) and name not in ("name", "sources", "published_params"):
            print(f"  {name:22s} {value}")
    _print_sources(shape.sources)
    return 0


def _systems(args):
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
        _print_sources(chosen[0].sources)
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


def _print_sources(keys):
    from bottlenecks import data

    for key in keys:
        print(f"    {key}: {data.references()[key]['title']}. {data.references()[key].get('url', '')}")


def _sources(args):
    from bottlenecks import data

    if args.key is None:
        for key, entry in data.references().items():
            print(f"{key:32s} {entry['title']}")
        return 0
    entry = data.references()[one_of("source", args.key, data.references())]
    print(f"{entry.get('author', 'author unknown')} ({entry.get('year', 'n.d.')}). {entry['title']}.")
    print(entry.get("url", "no address"))
    if entry.get("note"):
        print(f"read: {entry['note']}")
    for table, rows in data.cited_by(args.key).items():
        print(
            f"  {table}: {len(rows)} rows"
            + (f" ({', '.join(rows[:8])}{', ...' if len(rows) > 8 else ''})" if all(rows) else "")
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
