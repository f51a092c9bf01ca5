"""Sizes: what is over a limit gets a 4xx that names the limit, and what is just below it is taken."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from listening import FLOW, LIMITS, TOKEN, png

HEAD = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"


def fine(live):
    assert live.ask("POST", "/api/check", {"workflow": FLOW}).status == 200


def nested(depth: int) -> bytes:
    return b'{"workflow": {"layout": ' + b"[" * depth + b"]" * depth + b"}}"


def flow(**fields: object) -> bytes:
    return json.dumps({"workflow": FLOW | fields}).encode()


def nodes(number: int) -> dict[str, object]:
    return {f"n{i}": {"type": "number.add"} for i in range(number)}


BODIES = [
    ("a body", b'{"workflow": "' + b"a" * LIMITS.body + b'"}', 413, "body"),
    ("many nodes", flow(nodes=nodes(LIMITS.nodes + 1)), 413, "nodes"),
    ("many nodes in bodies", flow(nodes={f"n{i}": {"inputs": {"b": {"graph": {"nodes": nodes(50)}}}}
                                         for i in range(5)}), 413, "nodes"),
    ("many inputs", flow(nodes={"a": {"type": "number.add", "inputs": {f"i{i}": 1 for i in range(1001)}}}),
     413, "items"),
    ("a long list", flow(layout=[0] * 1001), 413, "items"),
    ("a long text", flow(description="x" * 2001), 413, "string"),
    ("a long key", flow(layout={"x" * 2001: 1}), 413, "string"),
    ("deep brackets", nested(61), 422, "depth"),
    ("deep objects", b'{"workflow": {"layout": ' + b'{"a":' * 61 + b"1" + b"}" * 63, 422, "depth"),
    ("a large number", flow(layout={"a": 1 << 65}), 422, "integer"),
    ("a large negative number", flow(layout={"a": -(1 << 65)}), 422, "integer"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "limit"), [r[1:] for r in BODIES], ids=[r[0] for r in BODIES])
def test_what_is_over_a_limit_is_told_which(live, body, status, limit):
    answer = live.ask("POST", "/api/check", body, {"Content-Type": "application/json"})
    assert (answer.status, answer.json["type"]) == (status, "/problems/over-limit")
    assert answer.json["limit"] == {"name": limit, "most": float(getattr(LIMITS, limit))}
    fine(live)


BELOW = [
    ("a body", b'{"workflow": {"layout": {' + b" " * (LIMITS.body - 100) + b"}}}"),
    ("nodes", flow(nodes=nodes(LIMITS.nodes))),
    ("a list", flow(layout=[0] * 1000)),
    ("a text", flow(description="x" * 2000)),
    ("brackets", nested(58)),
    ("a number", flow(layout={"a": 1 << 64})),
]


@pytest.mark.parametrize("body", [row[1] for row in BELOW], ids=[row[0] for row in BELOW])
def test_what_is_just_within_a_limit_is_taken(live, body):
    assert live.ask("POST", "/api/check", body, {"Content-Type": "application/json"}).status == 200


BROKEN = [
    ("no JSON", b"{", 400),
    ("nothing", b"", 400),
    ("a text that is none", b"\xff\xfe{}", 400),
    ("half a character", b'{"workflow": "\\ud800"}', 422),
    ("NaN", b'{"workflow": {"layout": {"a": NaN}}}', 422),
    ("Infinity", b'{"workflow": {"layout": {"a": -Infinity}}}', 422),
    ("a number beyond all", b'{"workflow": {"layout": {"a": 1e999}}}', 422),
    ("a key twice", b'{"workflow": {}, "workflow": {"format": 1}}', 422),
    ("a key twice inside", b'{"workflow": {"nodes": {"a": {}, "a": {}}}}', 422),
    ("a number of ten thousand digits", b'{"workflow": {"layout": ' + b"9" * 10_000 + b"}}", 400),
    ("brackets without end", b"[" * 100_000, 400),
    ("brackets a hundred thousand deep", b"[" * 100_000 + b"]" * 100_000, 400),
    ("a comment", b'{"workflow": {} /* no */}', 400),
    ("single quotes", b"{'workflow': {}}", 400),
    ("more behind it", b'{"workflow": {}} {}', 400),
    ("a list", b"[]", 422),
    ("a number", b"1", 422),
    ("null", b"null", 422),
    ("a field that is none", b'{"workflow": {}, "code": "import os"}', 422),
    ("no workflow", b"{}", 422),
    ("a workflow of another type", b'{"workflow": 5}', 422),
    ("an empty name", b'{"workflow": ""}', 422),
]


@pytest.mark.parametrize(("body", "status"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_body_that_is_not_what_is_taken_is_refused(live, body, status):
    answer = live.ask("POST", "/api/check", body, {"Content-Type": "application/json"})
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    fine(live)


@pytest.mark.parametrize(
    "body",
    [
        {"workflow": FLOW, "priority": 1e9},
        {"workflow": FLOW, "priority": "1"},
        {"workflow": FLOW, "priority": 1001},
        {"workflow": FLOW, "priority": True},
        {"workflow": FLOW, "targets": ["x" * 201]},
        {"workflow": FLOW, "targets": "add"},
        {"workflow": FLOW, "targets": ["gone"]},
        {"workflow": FLOW, "inputs": []},
        {"workflow": FLOW, "inputs": {"first": {"graph": {}}}},
        {"workflow": FLOW, "inputs": {"no_such": 1}},
        {"workflow": FLOW, "client": "somebody else"},
        {"workflow": FLOW, "key": "1"},
        {"workflow": FLOW | {"format": 99}},
    ],
)
def test_a_job_that_asks_for_what_there_is_not_is_refused(live, body):
    answer = live.ask("POST", "/api/jobs", body)
    assert answer.status == 422
    assert answer.json["problems"]
    fine(live)


@pytest.mark.parametrize(
    "path",
    ["/api/jobs?limit=0", "/api/jobs?limit=501", "/api/jobs?limit=x", "/api/jobs?limit=1&limit=2",
     "/api/jobs?state=gone", "/api/jobs?cursor=x", "/api/jobs?cursor=%00", "/api/jobs?more=1",
     "/api/jobs?" + "state=done&" * 9, "/api/queue?x=1", "/api/events?since=-1", "/api/events?since=x",
     "/api/events?since=99999999999999999999", "/api/events?job=../x",
     "/api/outputs/" + "0" * 32 + "?size=99999", "/api/outputs/" + "0" * 32 + "?size=0",
     "/api/openapi.json?callback=f"],
)  # fmt: skip
def test_a_query_that_is_not_what_is_taken_is_refused(live, path):
    assert live.ask("GET", path).status == 422
    fine(live)


def test_a_body_that_says_it_is_too_long_is_not_waited_for(live):
    head = f"POST /api/check HTTP/1.1\r\n{HEAD}Content-Length: 999999999999\r\n\r\n"
    assert live.raw(head.encode() + b"{", 5).startswith(b"HTTP/1.1 413 ")
    fine(live)


def test_a_body_of_chunks_without_a_length_is_counted(live):
    chunk = b"%x\r\n%s\r\n" % (8192, b" " * 8192)
    head = f"POST /api/check HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode()
    over = head + chunk * (LIMITS.body // 8192 + 1)
    assert live.raw(over, 5).startswith(b"HTTP/1.1 413 ")
    body = b'{"workflow": {"format": 1, "nodes": {}}}'
    below = head + chunk * 3 + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    assert live.raw(below, 1).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_asks_first_is_told_before_it_sends(live):
    for length, begin in ((999_999_999, b"HTTP/1.1 413 "), (2, b"HTTP/1.1 100 Continue\r\n\r\n")):
        head = f"POST /api/check HTTP/1.1\r\n{HEAD}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        assert live.raw(head.encode(), 1).startswith(begin)
    wrong = f"POST /api/check HTTP/1.1\r\n{HEAD}Expect: miracles\r\nContent-Length: 2\r\n\r\n{{}}"
    assert live.raw(wrong.encode(), 1).startswith(b"HTTP/1.1 417 ")
    nobody = head.replace(TOKEN, "wrong").replace("9" * 9, "2")
    assert live.raw(nobody.encode(), 1).startswith(b"HTTP/1.1 401 ")


def test_headers_and_addresses_are_bounded(live):
    line = f"GET /api/queue?{'x' * LIMITS.line} HTTP/1.1\r\n{HEAD}\r\n"
    one = f"GET /api/queue HTTP/1.1\r\n{HEAD}X: {'x' * LIMITS.header}x\r\n\r\n"
    many = f"GET /api/queue HTTP/1.1\r\n{HEAD}{''.join(f'X{i}: 1{chr(13)}{chr(10)}' for i in range(200))}\r\n"
    endless = f"GET /api/queue HTTP/1.1\r\nX: {'x' * 200_000}"
    lines = f"GET /api/queue HTTP/1.1\r\n{HEAD}" + "X: 1\r\n" * 100_000
    for data in (line, one, many, endless, lines):
        answer = live.raw(data.encode(), 3)
        assert answer[:13] in (b"HTTP/1.0 431 ", b"HTTP/1.1 431 "), (data[:60], answer[:300])
        assert b'"limit"' in answer
        assert b"xxxx" not in answer
    fine(live)


BOMB = zlib.compress(b" " * 10_000_000)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip", "compress"])
def test_a_body_that_is_compressed_is_refused(live, coding):
    body = gzip.compress(b" " * 10_000_000) if "gzip" in coding else BOMB
    for path, kind in (("/api/check", "application/json"), ("/api/uploads", "image/png")):
        answer = live.ask("POST", path, body, {"Content-Type": kind, "Content-Encoding": coding})
        assert answer.status == 415
        assert b"Content-Encoding" in answer.body
    plain = live.ask("POST", "/api/check", b'{"workflow": {}}',
                     {"Content-Type": "application/json", "Content-Encoding": "identity"})  # fmt: skip
    assert plain.status == 200


def test_the_disk_has_an_end(live, monkeypatch):
    disk = live.running.site.disk
    live.ask("POST", "/api/uploads", png(7, 7), {"Content-Type": "image/png"})
    monkeypatch.setattr(disk, "most", 10)
    monkeypatch.setattr(disk, "counted", -100.0)
    submit = live.ask("POST", "/api/jobs", {"workflow": FLOW})
    upload = live.ask("POST", "/api/uploads", png(5, 5), {"Content-Type": "image/png"})
    save = live.ask("PUT", "/api/workflows/full", FLOW, {"If-None-Match": "*"})
    for answer in (submit, upload, save):
        assert (answer.status, answer.json["limit"]) == (413, {"name": "disk", "most": 10.0})
    monkeypatch.undo()
    assert live.ask("POST", "/api/jobs", {"workflow": FLOW}).status == 201


def test_many_problems_are_told_in_part(live, monkeypatch):
    few = LIMITS.model_copy(update={"problems": 3})
    monkeypatch.setitem(live.running.site.__dict__, "limits", few)
    flow = {"format": 1, "nodes": {f"n{i}": {"type": "no.such"} for i in range(10)}}
    told = live.ask("POST", "/api/check", {"workflow": flow}).json["problems"]
    refused = live.ask("POST", "/api/jobs", {"workflow": flow}).json["problems"]
    for problems in (told, refused):
        assert len(problems) == 4
        assert "more problems" in problems[-1]["text"]


@pytest.mark.parametrize("key", ["", "x" * 201, "two words", "é", "a\tb"])
def test_an_idempotency_key_is_short_and_plain(live, key):
    answer = live.ask("POST", "/api/jobs", {"workflow": FLOW}, {"Idempotency-Key": key})
    assert answer.status == 400
    assert live.ask("POST", "/api/jobs", {"workflow": FLOW}, {"Idempotency-Key": "x" * 200}).status in (
        200,
        201,
    )


def test_a_get_takes_no_body(live):
    assert live.ask("GET", "/api/queue", b"{}", {"Content-Type": "application/json"}).status == 400
    assert live.ask("DELETE", "/api/jobs/abc", b"{}", {"Content-Type": "application/json"}).status == 400
    fine(live)
