"""Input checks: bad values are stopped here, with one message that says what would be valid."""

import difflib

import numpy as np


def positive(name, value, *, zero_allowed=False):
    """Return `value` if it is a number (or an array of numbers) above zero; else say what is wrong.

    >>> positive("batch", 8)
    8
    >>> positive("batch", -8)
    Traceback (most recent call last):
    ...
    ValueError: batch must be above zero, got -8; did you mean 8?
    """
    if type(value) in (int, float) and (0 < value < np.inf or (value == 0 and zero_allowed)):
        return value  # most are: nothing to look into
    bare = getattr(value, "magnitude", value)
    array = np.asarray(bare)
    if array.dtype.kind not in "iuf" or array.size == 0 or isinstance(bare, list | tuple):
        raise ValueError(f"{name} must be a number, got {value!r}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, got {value!r}")
    if np.all(array > 0) or (zero_allowed and np.all(array >= 0)):
        return value
    hint = f"; did you mean {-value!r}?" if array.ndim == 0 and array < 0 else ""
    raise ValueError(f"{name} must be {'zero or above' if zero_allowed else 'above zero'}, got {value!r}{hint}")


def between(name, value, low, high):
    """Return `value` if low <= value <= high; else name the nearest value that is valid.

    >>> between("efficiency", 70, 0, 1)
    Traceback (most recent call last):
    ...
    ValueError: efficiency must be from 0 to 1, got 70; the nearest is 1
    """
    if np.ndim(getattr(value, "magnitude", value)):
        raise ValueError(f"{name} must be one number, got {value!r}")
    positive(name, value, zero_allowed=low == 0)
    if low <= value <= high:
        return value
    nearest = min(max(value, low), high)
    raise ValueError(f"{name} must be from {low:g} to {high:g}, got {value!r}; the nearest is {nearest:g}")


def one_of(name, value, choices):
    """Return `value` if it is one of `choices`; else name the nearest of them.

    >>> one_of("format", "bf61", ["fp32", "bf16", "fp8"])
    Traceback (most recent call last):
    ...
    ValueError: format 'bf61' is unknown; did you mean 'bf16'? There are: fp32, bf16, fp8
    """
    choices = list(choices)
    if isinstance(value, str) and value in choices:
        return value
    near = nearest(value, choices)
    hint = f"; did you mean {near!r}?" if near else ";"
    shown = ", ".join(choices[:60]) + (", ..." if len(choices) > 60 else "")
    raise ValueError(f"{name} {value!r} is unknown{hint} There are: {shown or 'none'}")


def code(name, value, choices):
    """Index (or indices) of a choice given by name, by an array of names, or by index."""
    if isinstance(value, str):
        return choices.index(one_of(name, value, choices))
    array = np.asarray(value)
    if array.dtype.kind == "U":
        known, inverse = np.unique(array, return_inverse=True)
        codes = np.array([choices.index(one_of(name, str(k), choices)) for k in known])
        return codes[inverse].reshape(array.shape)
    if array.dtype.kind not in "iu" or (array.size and not 0 <= array.min() <= array.max() < len(choices)):
        one_of(name, value, choices)
    return array


def nearest(value, choices):
    """The choice whose spelling is nearest to `value`, or None when none resembles it."""
    folded = {choice.casefold(): choice for choice in choices}
    found = difflib.get_close_matches(str(value).casefold(), folded, n=1, cutoff=0.4)
    return folded[found[0]] if found else None
