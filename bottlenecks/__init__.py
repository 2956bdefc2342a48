"""Where the time of an AI computation goes: the models behind the book.

What every function of this package obeys, said once:

Units.        Base SI inside: bytes, seconds, FLOP, watts, joules. A name ends in its unit
              (`_s`, `_bytes`, `_flop`, `_flop_per_s`, `_bytes_per_s`, `_flop_per_byte`, `_watts`,
              `_joules`); counts are bare. A scale enters once, when a data file is read, and
              leaves once, on an axis or in printed text.
Peaks.        Dense, per package, with 32-bit accumulation; links per direction; memory as the device reports it.
Broadcasting. Laws are arithmetic on numbers: scalars, numpy arrays, and whatever obeys
              arithmetic (xarray, pint) pass through. A record's field may be an array, to sweep it.
Errors.       Laws do not validate. Records and the functions a reader calls stop bad input at the
              door with one message: the name, the value, what is allowed, the nearest valid choice.

Wings, lowest first; each imports only from itself and from wings above it in this list. A folder is a
kind of question, a file a subject, and a subject has the same name in every wing.

    data/       tables, measurements, references: rows that a reader may change
    facts/      records and how they are looked up: chips, links, models, corpus; units and input checks
    laws/       formulas on numbers and arrays, numpy alone: one page for each subject
    models/     records to rows to seconds and bytes: kernels, collectives, memory, inference, training
    measured/   predict, then score: a measured row as a call, what it leaves open, fits, errors
    yours/      the reader's machine: what it is, what a probe times on it, its roofline; others' logs; your own runs
    studies/    questions asked of the models: search, scaling, shares of published runs, claims
    exhibits/   figures: a table and a drawing each, a file for each chapter
    lessons/    equation cards, sliders, guesses, checks of exercises
    command/    the command line: a file for each verb

Nothing is re-exported here, so an import line always says which file to open.
"""

__version__ = "0.1.0"
