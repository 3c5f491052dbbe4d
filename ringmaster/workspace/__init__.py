"""Git and evidence: the daemon's repositories, workspaces, keeping, merging, landing and judging.

Nothing here knows the store or a task's state; callers pass paths, commits and ids. Every function
that touches a repository is async on trio, runs git as a child with a deadline, raises `GitError` or
`RingmasterError` in words, and may be cancelled between git commands: what is on disk is then a state
from which the same call can be made again.
"""
