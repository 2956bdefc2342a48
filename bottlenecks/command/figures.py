"""`bottlenecks figures`: the book's figures as files, each with the table that it draws."""

import errno
import os
from pathlib import Path

from bottlenecks import __version__
from bottlenecks.facts.doors import one_of
from bottlenecks.facts.units import UNITS, parse_quantity


def add(commands):
    """The verb's options."""
    parser = commands.add_parser(
        "figures",
        help="draw the book's figures, with their tables",
        description="Write figures, each with the table that it draws (CSV). With a slug, "
        "also print its caption and how to cite it.",
    )
    parser.add_argument("slug", nargs="?", help="one figure, such as 01-roofline (default: all)")
    parser.add_argument("--format", default="svg", choices=("svg", "png", "pdf"))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a control; may repeat")
    parser.add_argument("--out", default="figures", metavar="FOLDER", help="where to write (default: figures)")
    parser.add_argument("--list", action="store_true", help="list slugs and controls, draw nothing")
    parser.add_argument("--check", action="store_true", help="compare with the files in FOLDER, write nothing")
    parser.set_defaults(run=run)


def run(args):
    from bottlenecks.exhibits import registry

    everything = registry.load_all()
    chosen = list(everything.values()) if args.slug is None else [registry.exhibit(args.slug)]
    if args.set and args.slug is None:
        raise ValueError("--set needs a slug: which figure's control is it?")
    if args.set and args.check:
        raise ValueError("--check compares figures as they are committed: leave out --set")
    if args.list:
        return _list(chosen)
    settings = dict(_setting(chosen[0], text) for text in args.set)
    if args.check:
        return _check_figures(chosen, Path(args.out))
    folder = _folder(args.out)
    for each in chosen:
        picture = each(**settings)
        stem = each.slug + "".join(f"-{name}-{_slug(value)}" for name, value in settings.items())
        picture.save_with_table(folder / f"{stem}.{args.format}")
        print(folder / f"{stem}.{args.format}")
        if args.slug:
            print(f"\n{each.title} {each.caption}\n{picture.summary}\n\n{_citation(each, picture)}")
    return 0


def _list(chosen):
    for each in chosen:
        print(f"{each.slug:20s} {each.title}")
        for name, control in each.controls.items():
            ends = ", ".join(control.values) if control.is_menu else f"{control.values[0]} to {control.values[-1]}"
            print(f"    --set {name}={control.start!s:16s} {ends}")


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
        unit = exhibit.controls[name].unit.strip()
        try:
            return name, parse_quantity(value, unit) if unit in UNITS else float(value)  # 1MiB, where bytes are meant
        except ValueError:
            raise ValueError(f"{exhibit.slug}: {name} must be a number, got {value!r}") from None


def _slug(value):
    return "".join(c if c.isalnum() else "-" for c in (f"{value:g}" if isinstance(value, float) else value)).strip("-")


def _folder(out):
    if not out:
        raise ValueError("--out must name a folder, got ''; the current one is .")
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OSError(f"cannot write into {folder} ({error.strerror}): pass another with --out") from error
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
        who, when = entry.get("author", ""), entry.get("year", "n.d.")
        lines.append(f"  {who} ({when}) {entry['title']}. {entry.get('url', '')}")
    return "\n".join(lines)


def _check_figures(chosen, folder):
    """Exit status 1 when a committed table (to 1e-5) or picture (to the byte) differs."""
    from bottlenecks.exhibits import registry

    problems = []
    for each in chosen:
        picture = each()
        problems += table_problems(each.slug, picture.table, folder / f"{each.slug}.csv")
        svg, drawn = folder / f"{each.slug}.svg", picture.drawn("svg")
        if not svg.is_file():
            problems.append(f"{svg} is missing")
        elif registry.drawn_by(svg.read_bytes()) != registry.drawn_by(drawn):
            print(f"{svg}: drawn by {registry.drawn_by(svg.read_bytes())}, not compared")
        elif svg.read_bytes() != drawn:
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
