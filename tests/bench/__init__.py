"""Benchmarks: ratios of medians from interleaved rounds of one run. `python -m tests.bench`.

A shared machine makes absolute times worthless from one minute to the next; a ratio to something
everybody can measure, taken in turns with it, stays.
"""
