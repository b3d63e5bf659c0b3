"""What a version of the runtime must never change silently: metadata, genesis, blocks, replays.

One folder per `spec_version`. The files of a version that nodes run are not touched again: whoever
changes what they hold raises `SPEC_VERSION` in `runtime/version.py` and runs
`python -m tests.golden`, which writes the folder of the new version. While a version is not
released yet, `python -m tests.golden --unreleased` writes its folder anew.
"""
