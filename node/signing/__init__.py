"""Session keys at work: what they sign, what they refuse, and the process that holds them alone."""
