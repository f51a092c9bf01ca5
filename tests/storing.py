"""What tests of the store share: a request, an output, and jobs that run and end."""

from __future__ import annotations

from graphengine.store.jobs import Draft, Job, Lease, Request
from graphengine.store.store import Store

REQUEST = Request('{"format": 1}', {"seed": 7, "prompt": "a tree"}, ("image",))
DRAFT = Draft("picture.png", "image/png", b"a picture")


def claimed(store: Store, worker: str = "w") -> Lease:
    lease = store.queue.claim(worker)
    assert lease is not None
    return lease


def ended(store: Store, *drafts: Draft) -> Job:
    job = store.submit(REQUEST)
    assert store.finish(claimed(store), "done", drafts)
    return store.job(job.id)
