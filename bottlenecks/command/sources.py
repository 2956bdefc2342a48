"""`bottlenecks sources`: the bibliography, or one source and what it is the source of."""

from bottlenecks.facts.doors import one_of


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "sources",
        help="list the bibliography, or show one source and what it is the source of",
        description="Every number of the package cites a key of one bibliography.",
    )
    parser.add_argument("key", nargs="?", help="a key, such as williams2009roofline")
    parser.set_defaults(run=run)


def run(args):
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
        named = f" ({', '.join(rows[:8])}{', ...' if len(rows) > 8 else ''})" if all(rows) else ""
        print(f"  {table}: {len(rows)} rows{named}")
    return 0
