"""Fleets: the workers that jobs are given to, whatever runs them.

A Fleet (`fleet`) is what the rest of the engine knows: it is handed Orders, and what its workers say comes
back as Reports, one stream for all. A Crew (`crew`) is what all fleets share: workers in Seats that are kept
running, watched, asked, and told to stop. Three kinds add how a worker is started: as a process of this
machine (`local`), as a thread of this process (`inprocess`), or as an actor of a Ray cluster (`actors`), to
which `cluster` is the way. Which worker a job goes to is for `placement` to say, alike for all of them.

Ray is imported in `cluster` and `actors` only, and not before a cluster is wanted.
"""
