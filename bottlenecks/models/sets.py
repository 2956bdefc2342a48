"""Sets: a million layouts ask few different questions. Each is answered once, and the answer given to all that asked."""

import numpy as np

REMEMBERED = 32  # answers that a memo keeps, so that it does not grow with a search
WHOLE = 2**22  # whole numbers below it are found in a table


class Answers:
    """Answers to the distinct sets of some columns: `answers[name]` is the array over all that asked."""

    def __init__(self, which, named):
        self.which, self.named = which, named

    def __getitem__(self, name):
        return self.named[name][self.which]


def answered(make, on, memo, **columns):
    """`make(**few)`, which returns {name: array}, for the distinct sets of the columns: `Answers`.

    Where a rate of the machine `on` is an array itself, every element is a set of its own. `memo`: a
    dictionary of the caller's in which chunks of one search find each other's answers, or None.
    """
    if swept(on):
        which, few = ..., [np.asarray(c) for c in np.broadcast_arrays(*columns.values())]
    else:
        which, few = distinct(*columns.values())
    if memo is None:
        return Answers(which, _made(make, columns, few))
    key = (make.__qualname__, *(column.tobytes() for column in few))
    if key not in memo:
        if len(memo) >= REMEMBERED:
            del memo[next(iter(memo))]  # the oldest
        memo[key] = _made(make, columns, few)
    return Answers(which, memo[key])


def _made(make, names, few):
    shape = few[0].shape
    made = make(**dict(zip(names, few, strict=True)))
    return {name: _whole(np.asarray(value), shape) for name, value in made.items()}


def _whole(value, shape):
    """A value in a shape, or in a larger one that it has."""
    return value if value.shape == shape else np.broadcast_to(value, np.broadcast_shapes(value.shape, shape))


def swept(record):
    """Whether any field of a record is an array."""
    return any(isinstance(value, np.ndarray) and value.ndim for value in vars(record).values())


def distinct(*columns):
    """(which, found): the distinct rows of columns that broadcast, and which of them each element is.

    >>> which, (a, b) = distinct(np.array([4, 2, 4]), 1)
    >>> which.tolist(), a.tolist(), b.tolist()
    ([1, 0, 1], [2, 4], [1, 1])
    """
    arrays = [np.asarray(column) for column in columns]
    if all(array.size == 1 for array in arrays):
        return np.zeros(np.broadcast_shapes(*(a.shape for a in arrays)), dtype=np.intp), [a.reshape(1) for a in arrays]
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    places, values, size = 0, [], 1
    for array in arrays:
        if array.size == 1:
            values.append(array.reshape(1))
            continue
        known, place = _places(np.broadcast_to(array, shape).ravel())
        values.append(known)
        places, size = places * known.size + place, size * known.size
    used, which = _places(places)
    found, rest = [], used
    for known in reversed(values):
        if known.size == 1:
            found.append(np.broadcast_to(known, used.shape))
            continue
        found.append(known[rest % known.size])
        rest = rest // known.size
    return which.reshape(shape), found[::-1]


def _places(column):
    """Sorted distinct values, and the place of each element among them: `np.unique`, quicker for small whole numbers."""
    small = 0 <= column.min() and column.max() < WHOLE
    if not small or (column.dtype.kind == "f" and np.any(column != np.floor(column))):
        return np.unique(column, return_inverse=True)
    whole = column.astype(np.int64)
    there = np.zeros(int(whole.max()) + 1, dtype=bool)
    there[whole] = True
    return np.flatnonzero(there).astype(column.dtype), (np.cumsum(there) - 1)[whole]
