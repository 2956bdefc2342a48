"""Input checks: bad values are stopped here, with one message that says what would be valid.

What comes out of a check is 64 bits wide: graphics processors, pandas and older numpy hand over 32, in which
a product of three sizes runs over in silence.
"""

import difflib
import re

import numpy as np

PLAIN = (int, float, np.float64)  # one number, 64 bits wide or without end
FLOAT = np.dtype(float)
MOST = 1e30  # of any quantity in base SI: more is a slip, and products of a few such overflow
COUNT = 10**12  # of a size that is counted: rows, tokens, values
MEANS = 3  # letters that say something
RANKS = 10**7  # of chips, or of what a layout cuts over them


def positive(name, value, *, zero_allowed=False, most=MOST, whole=False):
    """Return `value` if it is a number (or an array of numbers) above zero, 64 bits wide; else say what is wrong.

    `most`: the largest that is allowed; `whole`: a count.

    >>> positive("batch", 8)
    8
    >>> positive("batch", -8)
    Traceback (most recent call last):
    ...
    ValueError: batch must be above zero, got -8; did you mean 8?
    >>> positive("batch", 2.5, whole=True)
    Traceback (most recent call last):
    ...
    ValueError: batch must be whole, got 2.5; the nearest is 2
    """
    if type(value) in PLAIN and (0 < value <= most or (value == 0 and zero_allowed)) and (not whole or value % 1 == 0):
        return value  # most are: nothing to look into
    found = wide(name, value)
    low, high = np.minimum.reduce(found, axis=None), np.maximum.reduce(found, axis=None)
    if (low > 0 or (zero_allowed and low == 0)) and high <= most and not (whole and _broken(found)):
        return value if hasattr(value, "magnitude") else found  # a quantity keeps its unit
    raise ValueError(f"{name} must be {_lack(value, found, low, zero_allowed, most)}")


def _broken(found):
    return np.asarray(found).dtype.kind == "f" and np.any(np.mod(found, 1))


def _lack(value, found, low, zero_allowed, most):
    """What a number that is refused must be, what it is, and the nearest that is allowed."""
    value = value.item() if isinstance(value, np.generic) else value
    if type(found) is int:  # of any length
        found = low = float(min(max(found, -(10**300)), 10**300))
    if not np.all(np.isfinite(found)):
        return f"finite, got {shown(value)}"
    if low < 0 or (low == 0 and not zero_allowed):
        hint = f"; did you mean {-value!r}?" if np.ndim(found) == 0 and low < 0 and -low <= most else ""
        return f"{'zero or above' if zero_allowed else 'above zero'}, got {shown(value)}{hint}"
    if np.any(np.greater(found, most)):
        allowed = f"from 0 to {most:,.15g}" if zero_allowed else f"at most {most:,.15g}"
        return f"{allowed}, got {shown(first(found, np.greater(found, most)) if np.ndim(found) else value)}; the nearest is {most:.15g}"
    bad = first(found, np.mod(found, 1) != 0)
    return f"whole, got {shown(bad)}; the nearest is {round(bad) or 1}"


def wide(name, value):
    """A number, or an array of numbers, in 64 bits; else what is wrong.

    >>> wide("m", np.array([1, 2], dtype=np.int32)).dtype.name
    'int64'
    """
    bare = getattr(value, "magnitude", value)
    if type(bare) in PLAIN:
        return bare
    if not isinstance(bare, np.ndarray):
        if isinstance(bare, list | tuple):
            raise ValueError(f"{name} must be a number or an array of numbers, got {shown(value)}; write np.array(...)")
        try:
            bare = np.asarray(bare)
        except Exception:  # whatever a stranger's class does
            bare = np.empty(0)
    kind = bare.dtype.kind
    if kind not in "iuf" or bare.size == 0:
        raise ValueError(f"{name} must be a number, got {shown(value)}")
    if bare.dtype.itemsize != 8 or kind == "u":
        bare = bare.astype(np.int64 if kind == "i" or (bare.dtype.itemsize < 8 and kind == "u") else np.float64)
    return bare if bare.ndim else bare.item()


def numbers(*, most=COUNT, zero=(), **named):
    """Each of some sizes as `positive` has it, arrays as float64: products of many counts run over 64 bits as well.

    `zero` names those that may be zero; a mean (of sequences of each rank) need not be whole.

    >>> numbers(m=8, k=np.array([4], dtype=np.int32))
    [8, array([4.])]
    """
    found = []
    for name, value in named.items():
        if type(value) in PLAIN:
            fine = 0 < value <= most
        else:
            fine = type(value) is np.ndarray and value.dtype is FLOAT and value.size
            fine = fine and np.minimum.reduce(value, axis=None) > 0 and np.maximum.reduce(value, axis=None) <= most
        if not fine:
            value = positive(name, value, zero_allowed=name in zero, most=most)
            if isinstance(value, np.ndarray) and value.dtype.kind == "i":
                value = value.astype(float)
        found.append(value)
    return found


def share(name, value, *, zero_allowed=False):
    """Return `value` if it is above zero (or zero, where that is allowed) and at most one."""
    return positive(name, value, zero_allowed=zero_allowed, most=1)


def rate(name, value, *, zero_allowed=False, unknown=False):
    """Return a rate or a duration of a record if it is above zero; it may be without end, where nothing is lost.

    `unknown`: it may be NaN.
    """
    found = wide(name, value)
    low = np.fmin.reduce(found, axis=None) if unknown else np.minimum.reduce(found, axis=None)
    if low > 0 or (low == 0 and zero_allowed) or (unknown and np.isnan(low)):
        return value if hasattr(value, "magnitude") else found
    return positive(name, value, zero_allowed=zero_allowed)


def switch(name, value):
    """Return `value` if it is True or False, or an array of them."""
    if value is True or value is False:
        return value
    if getattr(getattr(value, "dtype", None), "kind", "") != "b" or not value.size:
        raise ValueError(f"{name} must be True or False, got {shown(value)}")
    return value


def record(name, value, kind, how=""):
    """Return `value` if it is a record of a kind; else say how to get one."""
    if not isinstance(value, kind):
        of = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(each.__name__ for each in of)
        raise ValueError(f"{name} must be a {names}, got {shown(value)}" + (f"; write {how}" if how else ""))
    return value


def seen_by(queries, keys, masked, window):
    """Raise where a mask or a window leaves a query without a key."""
    if window is not np.inf:
        positive("window", window)
    if type(keys) in PLAIN and type(queries) in PLAIN and keys >= queries:
        return
    if np.any(np.less(keys, queries) & masked):
        raise ValueError(
            f"keys must be at least the queries under a causal mask, got {shown(keys)} and {shown(queries)}"
        )


def settle(one, name, value):
    """Put a checked value back into a frozen record, where it is another."""
    if getattr(one, name) is not value:
        object.__setattr__(one, name, value)


def first(value, mask):
    """The first number that a mask selects, as Python writes it."""
    value, mask = np.broadcast_arrays(value, mask)
    return value[mask].flat[0].item()


def shown(value):
    """A value as text, long ones cut."""
    try:
        text = repr(value)
    except Exception:  # a number of more digits than Python writes, or a stranger's class
        text = f"a {type(value).__name__}"
    return text if len(text) <= 160 else f"{text[:150]} ..."


def between(name, value, low, high):
    """Return `value` if low <= value <= high; else name the nearest value that is valid.

    >>> between("efficiency", 70, 0, 1)
    Traceback (most recent call last):
    ...
    ValueError: efficiency must be from 0 to 1, got 70; the nearest is 1
    """
    found = wide(name, value)
    if np.ndim(found):
        raise ValueError(f"{name} must be one number, got {shown(value)}")
    if low <= found <= high:
        return value if hasattr(value, "magnitude") else found
    positive(name, value, zero_allowed=low == 0)
    nearest = min(max(found, low), high)
    raise ValueError(f"{name} must be from {low:g} to {high:g}, got {shown(value)}; the nearest is {nearest:g}")


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
    hint = f"; did you mean {near!r}?" if near else "."
    there = ", ".join(choices[:60]) + (", ..." if len(choices) > 60 else "")
    raise ValueError(f"{name} {shown(value)} is unknown{hint} There are: {there or 'none'}")


def code(name, value, choices):
    """Index (or indices) of a choice given by name, by an array of names, or by index."""
    if isinstance(value, str):
        return choices.index(one_of(name, value, choices))
    array = np.asarray(value) if isinstance(value, np.ndarray | np.generic | int | float) else np.array(None)
    if array.dtype.kind == "U" and array.size:
        known, inverse = np.unique(array, return_inverse=True)
        codes = np.array([choices.index(one_of(name, str(k), choices)) for k in known])
        return codes[inverse].reshape(array.shape)
    if array.dtype.kind not in "iu" or (array.size and not 0 <= array.min() <= array.max() < len(choices)):
        one_of(name, value, choices)
    return array if array.dtype.itemsize == 8 else array.astype(np.int64)


def nearest(value, choices, *, cutoff=0.4):
    """The choice that `value` most likely means, or None when none resembles it.

    A slip of the pen first; then by meaning before spelling: a choice that begins with what was written, one that it begins with (as H1000 with H100), one
    that holds it, one of the same number (int4 for fp4); then the nearest spelling, as `difflib` has it.

    >>> nearest("williams", ["tinyllama", "williams2009roofline"]), nearest("H1000", ["B100", "H100 PCIe", "H100 SXM5"])
    ('williams2009roofline', 'H100 PCIe')
    >>> nearest("int4", ["int8", "fp4"]), nearest("bf61", ["fp32", "bf16"])
    ('fp4', 'bf16')
    """
    folded = {choice.casefold(): choice for choice in choices}
    text = (value if isinstance(value, str) else shown(value))[:100].casefold()
    slip = difflib.get_close_matches(text, folded, n=1, cutoff=0.9)  # a letter or two
    text = re.sub(r"(?<=\d)o+", lambda found: "0" * len(found[0]), text)  # H1O0
    meant = slip[0] if slip else _meant(text, list(folded))
    if meant is None:
        meant = next(iter(difflib.get_close_matches(text, folded, n=1, cutoff=cutoff)), None)
    return folded[meant] if meant is not None else None


def _meant(text, choices):
    """A choice that shares a whole beginning, a part or the number with a text, or None."""
    if len(text) >= MEANS:
        shared = [choice for choice in choices if choice.startswith(text)]
        heads = {choice: choice.split()[0] for choice in choices if choice.split()}
        longest = max((len(h) for h in heads.values() if text.startswith(h) and len(h) >= MEANS), default=0)
        shared += [
            choice for choice, head in heads.items() if longest and text.startswith(head) and len(head) == longest
        ]
        shared += [choice for choice in choices if text in choice]
        if shared:
            return shared[0]
    kind = re.fullmatch(r"[a-z]+(\d+)", text)
    same = [choice for choice in choices if kind and re.fullmatch(rf"[a-z]+{kind[1]}", choice)]
    return same[0] if len(same) == 1 else None
