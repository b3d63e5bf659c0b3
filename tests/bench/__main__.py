"""All benchmarks in one run."""

from tests.bench import block_import, clearing, codec, finality, insider, rpc, sync


def main() -> None:
    """Run them."""
    clearing.run()
    insider.run()
    block_import.run()
    codec.run()
    rpc.run()
    sync.run()
    finality.run()


if __name__ == "__main__":
    main()
