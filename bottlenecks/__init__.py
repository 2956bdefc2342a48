"""Where the time of an AI computation goes: the models behind the book.

What every function of this package obeys, said once:

Units.        Base SI inside: bytes, seconds, FLOP, watts, joules. A name ends in its unit
              (`_s`, `_bytes`, `_flop`, `_flop_per_s`, `_bytes_per_s`, `_flop_per_byte`, `_watts`,
              `_joules`); counts are bare. A scale enters once, when a data file is read, and
              leaves once, on an axis or in printed text.
Peaks.        Dense, per package, with 32-bit accumulation; links per direction; sizes decimal.
Broadcasting. Laws are arithmetic on numbers: scalars, numpy arrays, and whatever obeys
              arithmetic (xarray, pint) pass through. A record's field may be an array, to sweep it.
Errors.       Laws do not validate. Records and the functions a reader calls stop bad input at the
              door with one message: the name, the value, what is allowed, the nearest valid choice.

Modules, lowest floor first; each imports only from floors below it.

    data/                           facts: tables, measurements, references
    doors.py  units.py  facts.py    input checks; numbers to text and back; tables as columns
    hardware.py  architecture.py    records: chips and their memory levels; shapes of models
    networks.py                     records: links and tiers of systems
    corpus.py                       records: measured tables as columns
    roofline.py                     laws: one device, from time to energy
    tiling.py                       laws: tiles and waves of a kernel over the cores of a chip
    counting.py                     laws: operations of a transformer, as the literature counts them
    attention.py                    laws: attention's work and traffic by form
    memory.py                       laws: what training and inference keep on a chip
    collectives.py                  laws: a group of ranks that must agree
    traffic.py                      laws: what each split of a training step sends, against its arithmetic
    ops.py                          models: operations as rows, and the seconds they take
    kernel_time.py                  models: the seconds of a real kernel, by family of chips
    footprint.py                    models: a model in a layout, as rows of bytes on one chip
    communication.py                models: collectives on the tiers of a system
    network_fit.py                  models: what measured collectives make of them, and the errors
    engines.py                      models: the kernels that a program runs where it fuses less
    inference.py                    models: a prefill and a decode step, cut over chips; servers
    training.py                     models: one optimiser step in a layout, as rows of exposed seconds
    machine.py  probes.py           studies: what your own machine is; what a probe times on it
    measure.py                      studies: your own machine's roofline
    kernels.py  sweeps.py           studies: kernels by shape and format, as rows of the corpus
    validation.py  claims.py        studies: predictions against measurements; verdicts on claims
    memory_scores.py                studies: footprints against measured memory
    fits.py                         studies: what fits which chips, and what would make it fit
    inference_rows.py               studies: measured inference as calls
    inference_fit.py                studies: the constant that these ask for
    trends.py  growth.py            studies: growth and its uncertainty; what a peak grew from
    shares.py                       studies: which resource owns the second
    kernel_rows.py  kernel_fit.py   studies: measured kernels as calls; the constants they ask for
    training_rows.py                studies: measured training runs as calls
    collective_rows.py              studies: measured collectives in the frame of predictions
    search.py                       studies: every layout of a model on a machine, ranked
    splitting.py                    studies: what each way to split a step sends, and how long it idles
    scaling.py                      studies: the best layout at each number of chips
    predictions.py                  studies: every row predicted, then scored
    runs.py                         studies: training runs from peak to clock; who owned their second
    ledgers.py  eras.py             studies: questions asked of ledgers; one device's training by year
    decoding.py                     studies: what is in a decode step, and how far above its floor
    exhibits/                       figures: one table and one drawing each
    reports.py                      predictions and scores as lines of text
    show.py  widgets.py             equation cards and tables; sliders and guesses
    checks.py  exercises/           exercise checks, and the numbers that they expect
    __main__.py                     the command line

Nothing is re-exported here, so an import line always says which file to open.
"""

__version__ = "0.1.0"
