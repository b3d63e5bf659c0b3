"""Real processes, used as a stranger would use them: by the command line, RPC, an SDK, and kill.

One devnet in a folder of its own serves all files of this folder, one after the other; its ports
move out of the way of a devnet that runs already. Of the node only wire types are imported: what is
asserted is what can be seen from outside.
"""
