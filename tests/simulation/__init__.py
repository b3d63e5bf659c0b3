"""Many nodes, one thread, one seed, virtual time.

`driver.py` is the network, `node.py` one core on it, `disk.py` what outlives a crash; `sim_node.py`
is a whole node, `ledger.py` its runtime, `stored.py` the same on a database of its own. `plan.py`
says what goes wrong in a seed, `adversary.py` who lies, `world.py` is all of it with the
invariants, `coverage.py` what has to have happened. `soak.py` runs many seeds (`make soak-consensus
SEEDS=N JOBS=2`, resumable), `planted.py` plants known bugs.

Directed scenarios have their numbers in their names, `test_s1_` to `test_s18_`, here and in
`tests/consensus`: S1 an estimate that is outgrown, S2 two rounds apart, S3 f equivocators with two
faces, S4 a handoff that half have finalized, S5 overlapping set changes, S6 recovery by a signed
override, S7 hearing nobody, S8 clocks, S9 a withheld branch, S10 an old database, S11 one key
twice, S12 round one million, S13 a flood of orphans, S14 a sync that fails, S15 a long stall, S16
warp sync with a tampered proof, S17 a block above its budget, S18 a disabled author.
"""
