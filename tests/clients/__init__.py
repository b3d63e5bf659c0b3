"""The JavaScript clients of the Substrate world, unmodified, as the tests run them.

Which ones: `package.json`, locked by hashes. `make setup-clients` installs them beside this file.
They run by the Node that comes with pyright from the lock of the tests; a Node of the machine is
neither needed nor used. A script here is a module `NAME.mjs` that reads a request as JSON from
standard input and prints its answer as the last line of standard output.
"""
