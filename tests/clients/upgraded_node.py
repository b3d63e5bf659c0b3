"""`dret` as it will be: a program that holds one version of the runtime more than this one."""

import runtime.runtime
from node.__main__ import main
from runtime.version import SPEC_VERSION, SPEC_VERSIONS

NEXT = SPEC_VERSION + 1

runtime.runtime.SPEC_VERSIONS = range(SPEC_VERSIONS[0], NEXT + 1)

if __name__ == "__main__":
    main()
