"""Training as a stream of events: the loop, its guards, the compiled step, plans.

Nothing in here knows files, databases, networks or terminals.
"""
