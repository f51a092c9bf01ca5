"""The store: jobs on disk.

A Store (`store`) is the whole of it, in one folder, and what the rest of the engine holds. Three parts share
its Database (`database`: one SQLite file, one writer): the Queue (`queue`: which job is next, who runs it,
and until when), the Journal (`journal`: the events of all jobs, numbered) and the Outputs (`outputs`: the
files that jobs gave). What they take and give are the frozen values of `jobs`: Request, Job, Lease, Draft,
Output, Entry. `faults` names the steps at which a test makes them fail.

SQLite is imported in `database` only, and every write is one of its transactions.
"""
