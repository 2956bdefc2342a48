"""`bottlenecks progress`: which exercises are done."""


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "progress",
        help="show which exercises you have done",
        description="Print, for each chapter, how many exercises you got right, how many you tried, and their "
        "minutes. `check` keeps each try in your data folder (BOTTLENECKS_DATA, if set); nothing leaves this machine.",
        epilog="Example: bottlenecks progress --markdown progress.md",
    )
    parser.add_argument("--markdown", metavar="FILE", help="write a report to hand in to this new file")
    parser.add_argument("--clear", action="store_true", help="begin anew; the record so far is put aside, not deleted")
    parser.set_defaults(run=run)


def run(args):
    from bottlenecks.facts import files
    from bottlenecks.lessons import checks, progress

    if args.markdown and args.clear:
        raise ValueError("--markdown and --clear: write the report first, then clear")
    if args.clear:
        kept = progress.put_aside()
        print(f"put aside: {kept}" if kept else "there is nothing to clear")
        return
    exercises = checks.load_all()
    if args.markdown:
        files.write(args.markdown, progress.report(exercises), new=True)
        print(args.markdown)
        return
    rows = progress.lines(progress.by_chapter(exercises))
    widths = [max(len(str(row[name])) for row in [*rows, {n: n for n in rows[0]}]) for name in rows[0]]
    for row in [{name: name for name in rows[0]}, *rows]:
        first, *rest = zip(row.values(), widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip())
