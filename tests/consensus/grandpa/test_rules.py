"""Which block to prevote for."""

from consensus.fork_choice import BlockTree, TreeBlock
from consensus.grandpa.rules import prevote_target
from consensus.grandpa.vote_graph import BlockRef
from runtime.primitives.block import Digest, Header, Other

ZERO = bytes(32)


class Growing:
    """A tree to which branches are added by name."""

    def __init__(self) -> None:
        root = Header(ZERO, 100, ZERO, ZERO, Digest([]))
        self.blocks = {"root": self._block(root)}
        self.tree = BlockTree(self.blocks["root"])

    def _block(self, header: Header, hands_over: bool = False) -> TreeBlock:
        ref = BlockRef(header.hash(), header.number)
        return TreeBlock(ref, header, header.number, (), has_scheduled_change=hands_over)

    def add(self, parent: str, *names: str, hands_over: str = "") -> None:
        for name in names:
            below = self.blocks[parent]
            digest = Digest([Other(name.encode())])
            header = Header(below.ref.hash, below.ref.number + 1, ZERO, ZERO, digest)
            self.blocks[name] = self._block(header, name == hands_over)
            self.tree.insert(self.blocks[name])
            parent = name

    def ref(self, name: str) -> BlockRef:
        return self.blocks[name].ref

    def target(self, estimate: str) -> str:
        ref = prevote_target(self.tree, self.ref(estimate))
        return next(name for name, block in self.blocks.items() if block.ref == ref)


def test_the_vote_is_for_the_block_before_the_best() -> None:
    chain = Growing()
    chain.add("root", "a", "b", "c")

    assert chain.target("root") == "b"


def test_the_vote_is_never_below_the_estimate() -> None:
    chain = Growing()
    chain.add("root", "a", "b")

    assert chain.target("b") == "b"


def test_an_estimate_that_left_the_best_chain_is_voted_for_on_its_own_branch() -> None:
    # The bug that stopped several networks for good: polkadot-sdk #3487.
    chain = Growing()
    chain.add("root", "a", "b1", "c1", "d1")
    chain.add("a", "b2", "c2")

    assert chain.target("b2") == "b2"
    assert chain.target("c2") == "c2"
    chain.add("c2", "d2")
    assert chain.target("b2") == "c2"


def test_a_long_unfinalized_chain_is_voted_for_at_three_quarters() -> None:
    chain = Growing()
    chain.add("root", *(f"b{i}" for i in range(1, 41)))

    assert chain.target("root") == "b30"
    assert chain.target("b35") == "b35"


def test_a_chain_of_sixteen_is_not_long() -> None:
    chain = Growing()
    chain.add("root", *(f"b{i}" for i in range(1, 17)))

    assert chain.target("root") == "b15"
    chain.add("b16", "b17")
    assert chain.target("root") == "b13"


def test_the_vote_is_never_above_a_handoff() -> None:
    chain = Growing()
    chain.add("root", "a", "b", "c", "d", hands_over="b")

    assert chain.target("root") == "b"


def test_when_finality_is_beyond_the_estimate_the_vote_is_on_top_of_finality() -> None:
    chain = Growing()
    chain.add("root", "a", "b", "c", "d")
    estimate = chain.ref("a")
    chain.tree.finalize(chain.ref("c").hash)

    assert prevote_target(chain.tree, estimate) == chain.ref("c")


def test_an_estimate_that_is_not_known_is_repeated() -> None:
    chain = Growing()
    unknown = BlockRef(b"u" * 32, 150)

    assert prevote_target(chain.tree, unknown) == unknown
