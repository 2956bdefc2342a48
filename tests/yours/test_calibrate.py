"""Calibration: by hand where a pencil can, else on clusters that are made up to be known."""

import csv
import datetime
import io
import json
import tomllib

import numpy as np
import pytest

from bottlenecks import __main__ as command
from bottlenecks.measured import frame, practice
from bottlenecks.measured.practice import Effect, Practice
from bottlenecks.yours import calibrate as c
from bottlenecks.yours import calibrated as d
from bottlenecks.yours import own_constants

SPREAD, WITHIN = 0.2, 0.1  # of sources, and of the runs of one


def after(mean, runs, own=0.0, row=WITHIN):
    """(logarithm of the factor, its variance) of one class of runs."""
    moments = ([mean], [runs], [SPREAD], [own], [row])
    (log,), (deviation,) = d.factor(*d.place(*moments), *map(np.asarray, moments))
    return log, deviation**2


# ---- by hand


def test_one_run_moves_the_factor_by_its_share_of_the_variance():
    # 0.3 x 0.04 / (0.04 + 0.01) = 0.24; what is left of 0.04: 0.04 x 0.01 / 0.05 = 0.008
    assert after(0.3, 1) == pytest.approx((0.24, 0.008))
    # four runs count as one with a quarter of the variance: 0.3 x 0.04 / 0.0425
    assert after(0.3, 4) == pytest.approx((0.3 * 0.04 / 0.0425, 0.04 * 0.0025 / 0.0425))


def test_many_runs_give_her_mean_and_none_the_book():
    log, variance = after(0.3, 10**9)
    assert log == pytest.approx(0.3) and variance < 1e-10
    assert after(0.0, 0, own=0.1) == pytest.approx((0.0, SPREAD**2 + 0.1**2))


def test_a_class_that_she_has_none_of_learns_by_what_all_classes_share():
    # variances: 0.04 of sources, 0.01 of classes, 0.01 of runs. Of her class (0.04 + 0.01) / 0.06 of 0.3 is kept, of
    # another 0.04 / 0.06, and its variance is 0.05 less 0.04^2 / 0.06
    runs, nothing = np.array([1, 0]), np.array([0.3, 0.0])
    source, own, row = np.full(2, SPREAD), np.full(2, 0.1), np.full(2, WITHIN)
    log, deviation = d.factor(*d.place(nothing, runs, source, own, row), nothing, runs, source, own, row)
    assert log == pytest.approx([0.25, 0.2])
    assert deviation**2 == pytest.approx([0.05 - 0.05**2 / 0.06, 0.05 - 0.04**2 / 0.06])


BOOK = Practice(
    {("", ""): Effect(2.0, 0.1, 9), ("program", ""): Effect(1.0, 0.0, 0), ("work", ""): Effect(1.0, 0.0, 0)},
    {"": 0.5},
    (-1.0, 1.0),
    {"class": 0.3, "row": 0.4},
)
ONE = {"program": np.array([""]), "work": np.array(["a"])}


def test_the_parts_of_a_deviation_add_up_to_it():
    # 0.5^2 = 0.25 is 0.09 of classes, 0.16 of rows, nothing of the source; 0.1^2 of how well the middle is known
    source, own, row = practice.parted(BOOK, ONE)
    assert (source[0], own[0], row[0]) == pytest.approx((0.1, 0.3, 0.4))
    times, low, high = (float(each[0]) for each in practice.predicted(BOOK, ONE))
    assert times == pytest.approx(2.0) and np.log(high / low) / 2 == pytest.approx((0.1**2 + 0.3**2 + 0.4**2) ** 0.5)
    wide = BOOK._replace(parts={"class": 0.1, "row": 0.2})  # of 0.25: 0.2 the source's, 0.01 and 0.04
    assert [float(each[0]) for each in practice.parted(wide, ONE)] == pytest.approx([0.21**0.5, 0.1, 0.2])


def test_parts_are_those_of_classes_of_one_source():
    # one source, two classes of two rows: means 0 and 1, rows 0.1 either way: variance within 0.02, between 0.5 less 0.01
    logs, sources = np.array([-0.1, 0.1, 0.9, 1.1]), np.array(["x"] * 4)
    some = practice.cells(logs, sources, {"work": np.array(["a", "a", "b", "b"])}, np.zeros(4))
    assert practice._parts(some) == pytest.approx({"class": 0.49**0.5, "row": 0.02**0.5})


def of_rows(logs, runs, open=0.0):
    levels = {name: np.repeat(of, len(logs)) for name, of in ONE.items()}
    return c.of_rows(BOOK, levels, np.array(logs), np.array(runs), np.full(len(logs), open))


def test_runs_that_scatter_less_than_the_books_narrow_the_interval():
    # two runs 0.4 either side of their mean are (0.4^2 + 0.4^2) / 0.4^2 = 2 over one freedom, beside 4 of the book's
    found = of_rows([0.6, 1.4], [1, 2])
    assert found.mean[0] == pytest.approx(1.0) and found.scatter == pytest.approx((6 / 5) ** 0.5)
    assert of_rows([1.0, 1.0], [1, 2]).scatter == pytest.approx((4 / 5) ** 0.5)


def test_a_run_repeated_counts_once():
    found = of_rows([0.0, 2.0, 4.0], [7, 7, 8])  # the first two are one, at 1
    assert found.runs.tolist() == [2] and found.mean[0] == pytest.approx(2.5)


def test_what_runs_leave_open_is_settled_by_them():
    # it is shared by the runs of a class, so it adds to the class's variance of 0.09: many runs still give their mean
    found = of_rows([1.0] * 2000, list(range(2000)), open=0.4)
    assert c._classes(found)["a"].times == pytest.approx(np.e, rel=1e-3)
    few = of_rows([1.0], [1], open=0.4)  # 1 x (0.01 + 0.09 + 0.16) / (0.26 + 0.16)
    assert np.log(c._classes(few)["a"].times) == pytest.approx(0.26 / 0.42)


def test_how_much_more_runs_would_narrow():
    told = c.told(BOOK, of_rows([0.3], [1]))["a"]
    # next run: 0.16 + what is left of 0.10 after n runs of 0.16 each, 0.10 x 0.16 / (n 0.10 + 0.16)
    widths = [np.expm1((0.16 + 0.016 / (n * 0.1 + 0.16)) ** 0.5) for n in (1, 2, 4, 11)]
    assert (told.now, *told.more) == pytest.approx(widths)
    assert np.log(told.before[1]) == pytest.approx(0.26**0.5)
    assert np.log(told.after[0]) == pytest.approx(0.3 * 0.1 / 0.26 - np.log1p(told.now))


# ---- clusters that are made up


def products(n=30):
    """Large products and such of a few rows, in turn."""
    return [
        {"chip": "H100 SXM5", "kernel": "matmul", "dtype": "bf16", "m": (4096, 8192, 16384, 1, 4, 8)[i % 6]}
        | {"k": 4096 + 512 * (i // 6), "n": 8192}
        for i in range(n)
    ]


def messages(n=30):
    same = {"chip": "H100 SXM5", "collective": "all_reduce", "n_gpus": 8, "n_nodes": 1}
    return [same | {"message_bytes": 8 * 2**i} for i in range(n)]


MADE = {"kernels": products, "collectives": messages}


def save(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def load(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def seconds(kind, rows, folder, constants=None):
    """By the book's practice, with constants of a cluster's own."""
    columns = frame.read(save(folder / "made.csv", rows), kind).columns
    model = frame.KINDS[kind]
    cases = model.cases(columns)
    found = model.predict(cases, owners=False, constants=constants)
    return found["seconds"] * practice.predicted(practice.kept(kind), model.classes(cases))[0]


def cluster(kind, folder, times=1.0, constants=None, name="mine.csv", rows=None):
    """A file of runs that took `times` what is predicted."""
    rows = MADE[kind]() if rows is None else rows
    took = times * seconds(kind, rows, folder, constants)
    return save(folder / name, [row | {"time_us": 1e6 * s} for row, s in zip(rows, took.tolist(), strict=True)])


@pytest.mark.parametrize("kind", MADE)
def test_a_cluster_a_third_slower_is_found_so(kind, tmp_path):
    found = c.calibrate(kind, cluster(kind, tmp_path, 1.3))
    assert found.calibration.runs == 30 and not found.calibration.constants and found.stay
    for name, of in found.calibration.classes.items():
        assert of.times == pytest.approx(1.3, rel=0.03)
        told = found.classes[name]
        assert np.log(told.after[1] / told.after[0]) < 0.6 * np.log(told.before[1] / told.before[0])
        assert told.after[0] < 1.3 < told.after[1]
        assert told.now >= told.more[0] >= told.more[1] >= told.more[2]


@pytest.mark.parametrize("kind", MADE)
def test_the_books_own_predictions_move_nothing(kind, tmp_path):
    found = c.calibrate(kind, cluster(kind, tmp_path)).calibration
    assert found.place == pytest.approx(0, abs=1e-9) and not found.constants
    assert all(of.times == pytest.approx(1) for of in found.classes.values())


@pytest.mark.parametrize(
    ("kind", "known"),
    [("kernels", {"matmul_16": 0.55, "stream": 0.8}), ("collectives", {"link": 0.6, "call_s": 80e-6})],
)
def test_constants_that_runs_tell_apart_are_found(kind, known, tmp_path):
    found = c.calibrate(kind, cluster(kind, tmp_path, constants=known)).calibration
    assert {name: each.value for name, each in found.constants.items()} == pytest.approx(known, rel=0.02)
    assert all(each.low <= each.value <= each.high for each in found.constants.values())
    assert all(of.times == pytest.approx(1, abs=0.02) for of in found.classes.values())


def test_runs_of_one_kind_move_no_constant(tmp_path):
    large = [row for row in products() if row["m"] > 8]
    found = c.calibrate("kernels", cluster("kernels", tmp_path, 1.5, rows=large))
    assert not found.calibration.constants
    assert "the runs show no other" in found.stay["matmul_16"] and "0 runs show it, 4" in found.stay["stream"]
    assert own_constants.fit("training", None, None, None, ()) == own_constants.Moved({}, {})


def test_a_run_far_out_is_named(tmp_path):
    path = cluster("kernels", tmp_path)
    rows = load(path)
    rows[4]["time_us"] = 5 * float(rows[4]["time_us"])
    far = c.calibrate("kernels", save(path, rows)).far
    assert list(far) == [5] and far[5] == pytest.approx(5)


def test_a_run_that_the_datasheet_forbids_moves_nothing(tmp_path):
    path = cluster("kernels", tmp_path)
    rows = load(path)
    rows[4]["time_us"] = float(rows[4]["time_us"]) / 1000  # milliseconds in a column of microseconds
    found = c.calibrate("kernels", save(path, rows))
    assert found.unused == {c.TOO_FAST: 1} and found.calibration.rows == len(rows) - 1


def test_a_column_that_is_nearly_one_of_ours_is_named(capsys, tmp_path):
    path = str(
        save(tmp_path / "a.csv", [row | {"colour": "red", "headss": ""} for row in load(cluster("kernels", tmp_path))])
    )
    assert (
        "a.csv: columns that were not read: headss (did you mean heads?)"
        in run(capsys, "calibrate", "kernels", path)[2]
    )


def test_most_is_to_be_learned_where_she_has_no_run(tmp_path):
    name, now, then = c.calibrate("kernels", cluster("kernels", tmp_path, 1.3)).other
    assert name in ("8-bit kernels", "32-bit kernels") and then < now


def test_rows_that_say_nothing_are_told(tmp_path):
    rows = load(cluster("kernels", tmp_path))
    rows[0] |= {"time_us": ""}
    rows[1] |= {"chip": "Z9"}
    rows[2] |= {"m": "many"}
    found = c.calibrate("kernels", save(tmp_path / "holes.csv", rows))
    assert found.calibration.rows == 27 and sum(found.unused.values()) == 3 and found.unused["nothing is measured"] == 1
    with pytest.raises(ValueError, match="no row can calibrate: 30 x nothing is measured"):
        c.calibrate("kernels", save(tmp_path / "none.csv", products()))


# ---- the file, and what stands on it

FILE = d.Calibration(
    **{
        "kind": "kernels",
        "file": 'a "b"\\\n.csv',
        "rows": 3,
        "runs": 2,
        "chips": ("T4",),
        "program": "",
        "package": "0.1",
    },
    **{"date": datetime.date(2026, 2, 1), "place": -0.5, "deviation": 0.25, "scatter": 0.5},
    classes={"matmul, 16": d.Class(1.25, 0.125, 0.5, 0.0, 2)},
    constants={"stream": d.Constant(0.75, 0.5, 1.0, 0.875, np.nan, np.nan)},
)


def test_the_file_holds_what_was_written(tmp_path):
    d.write(tmp_path / "a.toml", FILE)
    found = d.read(tmp_path / "a.toml", "kernels")
    assert repr(found) == repr(FILE)  # one NaN is no other, but is written alike
    assert tomllib.loads(d.text(FILE))["constants"]["stream"]["value"] == 0.75
    with pytest.raises(ValueError, match=r"a\.toml is a calibration of kernels, not of training"):
        d.read(tmp_path / "a.toml", "training")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("kind = ", "kinds = "), "no calibration: it has no 'kind'"),
        (('"kernels"', '"kernel"'), "kind 'kernel' is unknown; did you mean 'kernels'"),
        (("rows = 3", "rows = 3.5"), "rows must be a whole number, got 3.5"),
        (("[source]", "[sauce]"), "it has no 'source'"),
        (("place = -0.5", "place = inf"), "place must be from -1e+06 to 1e+06, got inf"),
        (("times = 1.25", "times = 0"), "times must be from 1e-06 to 1e+06, got 0"),
        (("times = 1.25", "times = 'x'"), "times must be a number, got 'x'"),
        (('"stream"', '"steam"'), "constant 'steam' is unknown; did you mean 'stream'"),
        (("scatter = 0.5", f"scatter = {10**400}"), "too large"),
        (("place = ", "place : "), "it is not TOML"),
        (("date = 2026-02-01", "date = 1"), "date must be a date, got 1"),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path, change, message):
    text = d.text(FILE).replace(*change)
    assert text != d.text(FILE)
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as told:
        d.read(tmp_path / "a.toml", "kernels")
    assert str(told.value).startswith(str(tmp_path / "a.toml")) and message in str(told.value)


def test_predictions_stand_on_it_and_say_so(tmp_path):
    path = cluster("kernels", tmp_path, 1.3)
    mine = c.calibrate("kernels", path).calibration
    rows = [*products(2), products(1)[0] | {"chip": "A100 SXM4 80GB"}, products(1)[0] | {"dtype": "fp8"}]
    columns = frame.read(save(tmp_path / "next.csv", rows), "kernels").columns
    book, found = frame.predict("kernels", columns), d.predict("kernels", columns, calibration=mine)
    times = found["predicted"] / book["predicted"]
    assert times[:3] == pytest.approx([mine.classes["16-bit kernels"].times] * 3)
    narrower = np.log(found["high"] / found["low"]) / np.log(book["high"] / book["low"])
    assert np.all(narrower[:3] < 0.6) and 1 < times[3] < times[0] and narrower[0] < narrower[3] < 1
    assert found["assumed"][0].startswith("calibrated on 30 runs of mine.csv; ")
    assert "none of them 8-bit kernels" in found["assumed"][3]


def test_without_runs_of_any_weight_it_is_the_books(tmp_path):
    nothing = FILE._replace(place=0.0, deviation=1.0, scatter=1.0, classes={}, constants={})
    columns = frame.read(save(tmp_path / "a.csv", products(6)), "kernels").columns
    book, found = frame.predict("kernels", columns), d.predict("kernels", columns, calibration=nothing)
    for name in ("predicted", "low", "high"):
        assert found[name] == pytest.approx(book[name])


def test_constants_hold_on_her_chip_alone(tmp_path):
    mine = c.calibrate(
        "kernels", cluster("kernels", tmp_path, constants={"matmul_16": 0.55, "stream": 0.8})
    ).calibration
    rows = [products(1)[0], products(1)[0] | {"chip": "A100 SXM4 80GB"}]
    columns = frame.read(save(tmp_path / "next.csv", rows), "kernels").columns
    book, found = frame.predict("kernels", columns), d.predict("kernels", columns, calibration=mine)
    assert found["predicted"][1] == book["predicted"][1] and found["low"][1] == book["low"][1]
    assert found["assumed"][1].startswith("not calibrated: the runs of mine.csv are of H100 SXM5")
    assert found["predicted"][0] == pytest.approx(
        1e6 * seconds("kernels", rows[:1], tmp_path, {"matmul_16": 0.55})[0], rel=0.03
    )


# ---- the command


def run(capsys, *argv):
    status = command.main(list(argv))
    out = capsys.readouterr()
    return status, out.out, out.err


def test_the_verb_writes_a_file_that_predict_takes(capsys, tmp_path):
    path, file = str(cluster("kernels", tmp_path, 1.3)), str(tmp_path / "mine.toml")
    status, text, said = run(capsys, "calibrate", "kernels", path)
    assert status == 0 and tomllib.loads(text)["runs"] == 30 and "yours take 1.3 times what is predicted" in said
    status, told, err = run(capsys, "calibrate", "kernels", path, "-o", file)
    assert (status, err) == (
        0,
        "",
    ) and told == said + f"{file}: now `bottlenecks predict kernels IN.csv --calibration {file}`\n"
    assert "stays as it is: one factor on all runs explains them as well" in told and "more such runs" in told
    status, out, err = run(capsys, "predict", "kernels", path, "--calibration", file)
    assert status == 0 and err == f"{file}: calibrated on 30 runs of mine.csv\n"
    ratios = [float(row["ratio"]) for row in csv.DictReader(io.StringIO(out))]
    assert ratios == pytest.approx([1.0] * 30, rel=0.03)


def test_search_takes_her_times(capsys, tmp_path):
    mine = FILE._replace(kind="training", classes={d.ANY: d.Class(1.5, 0.1, 0.1, 0.0, 9)}, constants={}, package="0.0")
    d.write(tmp_path / "t.toml", mine)
    asked = ("search", "Llama-3-8B", "DGX H100", "--chips", "8", "--top", "1", "--json")
    book = json.loads(run(capsys, *asked)[1])
    _, out, err = run(capsys, *asked, "--calibration", str(tmp_path / "t.toml"))
    hers = json.loads(out)
    times = 1.5 * practice.predicted(practice.kept("training"), {"program": np.array([""])})[0][0]
    assert hers["best"][0]["seconds"] == pytest.approx(times * book["best"][0]["seconds"])
    assert hers["best"][0]["mfu"] == pytest.approx(book["best"][0]["mfu"] / times)
    assert "made with bottlenecks 0.0" in err and "calibrate again" in err
