"""Many nodes, one thread, one seed, virtual time.

`driver.py` is the network of cores, `disk.py` what outlives a crash, `ledger.py` the runtime,
`plan.py` what goes wrong in a seed, `adversary.py` who lies, `world.py` all of it with the
invariants, `soak.py` many seeds (`make soak-consensus SEEDS=N JOBS=2`, resumable).

Directed scenarios, by their names in the plan of the project, and where they are:

S1 an estimate that is outgrown, S2 two rounds apart: test_planted_bugs.py. S3 f equivocators with
two faces, S5 overlapping set changes, S8 clocks, S14 a sync that fails, S15 a long stall:
test_scenarios.py. S4 a handoff that half have finalized: tests/consensus/test_handoffs.py. S7
hearing nobody, S9 a withheld branch, S10 an old database: tests/consensus/test_network.py. S11 one
key twice, S13 a flood of orphans: tests/consensus/test_byzantine.py. S12 round one million:
tests/consensus/grandpa/test_voter.py.

Not here, because what they are about does not exist yet or is not part of these nodes: S6 recovery
by a signed override, S16 warp sync, S17 a block whose execution exceeds its time, S18 a disabled
author.
"""
