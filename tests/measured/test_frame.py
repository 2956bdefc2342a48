"""Predictions: every row comes out, in its own unit, from the corpus or from a file."""

import csv
import io
import os

import numpy as np
import pytest

from bottlenecks.facts import corpus
from bottlenecks.measured import frame, scores


@pytest.fixture(scope="module")
def found():
    return frame.predict("kernels", corpus.table("kernels"))


def test_every_row_has_a_prediction_or_a_reason(found):
    table = corpus.table("kernels")
    assert list(found) == list(frame.ADDED)
    assert {values.size for values in found.values()} == {table["kernel"].size}
    predicted = np.isfinite(found["predicted"]) & (found["predicted"] > 0)
    assert (predicted == (found["reason"] == "")).all()
    assert (found["low"][predicted] < found["predicted"][predicted]).all()
    assert (found["predicted"][predicted] < found["high"][predicted]).all()
    assert (found["bound"] != "").tolist() == predicted.tolist()


def test_measurements_are_the_rows_own(found):
    table = corpus.table("kernels")
    shown = {"us": ("time_s", 1e6), "TFLOP/s": ("flop_per_s", 1e-12), "GB/s": ("bytes_per_s", 1e-9)}
    for unit, (column, scale) in shown.items():
        mine = (found["unit"] == unit) & np.isfinite(found["measured"])
        assert mine.sum() > 30
        np.testing.assert_allclose(found["measured"][mine], table[column][mine] * scale)
    np.testing.assert_allclose(found["ratio"], found["predicted"] / found["measured"])


def test_rows_do_not_lean_on_each_other(found):
    """Any selection, in any order, is predicted as in the whole table."""
    table = corpus.table("kernels")
    some = np.random.default_rng(0).permutation(np.flatnonzero(table["source_id"] != "gpubenches"))[:300]
    again = frame.predict("kernels", corpus.where(table, some))
    for name, values in again.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(values, found[name][some], rtol=1e-12)
        else:
            assert values.tolist() == found[name][some].tolist(), name


def test_an_unknown_kind_gets_the_nearest(tmp_path):
    for ask in (scores.score, scores.unscored, lambda k: frame.predict_file(k, "", "")):
        with pytest.raises(ValueError, match="kind 'kernel' is unknown; did you mean 'kernels'"):
            ask("kernel")


# ---- files


def test_only_the_header(tmp_path):
    path, out = tmp_path / "in.csv", io.StringIO()
    path.write_text("chip,kernel\n")
    frame.predict_file("kernels", path, out)
    assert out.getvalue().splitlines() == ["chip,kernel," + ",".join(frame.ADDED)]


def test_predicting_a_prediction_again_changes_nothing(tmp_path):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    (tmp_path / "in.csv").write_text("chip,kernel,dtype,m,n,k\nT4,matmul,fp16,64,64,64\n")
    frame.predict_file("kernels", tmp_path / "in.csv", first)
    frame.predict_file("kernels", first, second)
    assert first.read_text() == second.read_text()


def test_a_readers_column_is_never_overwritten(tmp_path):
    (tmp_path / "in.csv").write_text("chip,kernel,unit\nT4,matmul,mine\n")
    with pytest.raises(ValueError, match="have a column 'unit' as well: rename"):
        frame.predict_file("kernels", tmp_path / "in.csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_nothing_is_left_half_written(tmp_path, monkeypatch):
    (tmp_path / "in.csv").write_text("chip,kernel\nT4,matmul\n")
    (tmp_path / "out.csv").write_text("before\n")

    def full(file, texts):
        file.write("chip,")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(frame, "_write", full)
    with pytest.raises(OSError, match=r"cannot write .*out.csv \(No space left"):
        frame.predict_file("kernels", tmp_path / "in.csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "before\n"
    assert {p.name for p in tmp_path.iterdir()} == {"in.csv", "out.csv"}


@pytest.mark.parametrize("name", ["out.csv.part", ".out.csv.part", "out.part.csv"])
def test_an_input_whose_name_resembles_the_output_is_kept(tmp_path, name):
    (tmp_path / name).write_text("chip,kernel\nT4,matmul\n")
    frame.predict_file("kernels", tmp_path / name, tmp_path / "out.csv")
    assert (tmp_path / name).read_text() == "chip,kernel\nT4,matmul\n"
    assert {p.name for p in tmp_path.iterdir()} == {name, "out.csv"}


@pytest.mark.parametrize("kind", ["hard", "symbolic", "other way to say it"])
def test_an_input_is_never_written_over(tmp_path, kind):
    (tmp_path / "in.csv").write_text("chip,kernel\nT4,matmul\n")
    out = tmp_path / "out.csv"
    if kind == "hard":
        os.link(tmp_path / "in.csv", out)
    elif kind == "symbolic":
        out.symlink_to("in.csv")
    else:
        out = tmp_path / ".." / tmp_path.name / "in.csv"
    with pytest.raises(ValueError, match="is the input itself: name another file"):
        frame.predict_file("kernels", tmp_path / "in.csv", out)
    assert (tmp_path / "in.csv").read_text() == "chip,kernel\nT4,matmul\n"


def test_numbers_are_written_as_predicted(tmp_path):
    (tmp_path / "in.csv").write_text("chip,kernel,dtype,m,n,k,time_us\nT4,matmul,fp16,64,64,64,5\n")
    out = io.StringIO()
    found = frame.predict_file("kernels", tmp_path / "in.csv", out)
    (row,) = csv.DictReader(io.StringIO(out.getvalue()))
    for name in ("predicted", "low", "high", "measured", "ratio"):
        assert float(row[name]) == pytest.approx(float(found[name][0]), rel=1e-4)
    assert row["measured"] == "5" and row["unit"] == "us" and row["reason"] == ""
