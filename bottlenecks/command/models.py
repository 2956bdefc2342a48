"""`bottlenecks models`: the catalog of models, or one of them or of a config.json."""

import json

from bottlenecks.command.reports import print_sources, shape_of
from bottlenecks.facts.units import plain


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "models",
        help="list the models, or show one; a Hugging Face config.json works as well",
        description="Parameters are counted from the shapes; published totals stand beside them.",
    )
    parser.add_argument("name", nargs="?", help="a model, such as Llama-3-8B, or the path of a config.json")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args):
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
    shape = shape_of(args.name)
    if args.json:
        print(json.dumps(asdict(shape), indent=1))
        return 0
    params, active = plain(shape.params / 1e9, 4), plain(shape.active_params / 1e9, 4)
    print(f"{shape.name}: {params} B parameters from the shapes, {active} B active")
    if shape.published_params:
        print(f"  published: {plain(shape.published_params / 1e9, 4)} B")
    for name, value in asdict(shape).items():
        if value not in (None, 0, "", ()) and name not in ("name", "sources", "published_params"):
            print(f"  {name:22s} {value}")
    print_sources(shape.sources)
    return 0
