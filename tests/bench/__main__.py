"""All benchmarks in one run."""

from tests.bench import block_import, clearing


def main() -> None:
    """Run them."""
    clearing.run()
    block_import.run()


if __name__ == "__main__":
    main()
