"""Who asks: names, origins, tokens, content types and methods. Each wrong one is refused, and beside it a
right request is answered."""

from __future__ import annotations

import pytest
from listening import FLOW, TOKEN, Live

PORT = "PORT"
"""Stands for the port of the server."""
JSON = b'{"workflow": {"format": 1, "nodes": {}}}'


def fill(live: Live, headers: dict[str, str | None]) -> dict[str, str | None]:
    return {name: text and text.replace(PORT, str(live.port)) for name, text in headers.items()}


def fine(live: Live) -> None:
    """A right request is answered."""
    answer = live.ask("GET", "/api/queue", headers=fill(live, {"Origin": "http://127.0.0.1:PORT"}))
    assert answer.status == 200
    assert answer.json["paused"] is False


HOSTS = [
    ("a name that was pointed here", "evil.example", 421),
    ("a name that was pointed here, with our port", "evil.example:PORT", 421),
    ("no Host", None, 400),
    ("an empty Host", "", 400),
    ("a name before ours", "localhost.evil.example", 421),
    ("a name behind ours", "evil.example.localhost", 421),
    ("a dot at the end", "localhost.", 400),
    ("a user before it", "user@localhost", 400),
    ("ours as the user of another", "localhost@evil.example", 400),
    ("ours as the user of another, with a port", "127.0.0.1:80@evil.example", 400),
    ("a port that is none", "localhost:abc", 400),
    ("a port that is too large", "localhost:99999", 400),
    ("two ports", "localhost:1:2", 400),
    ("a colon without a port", "localhost:", 400),
    ("a path", "localhost/evil", 400),
    ("two names", "localhost, evil.example", 400),
    ("a space", "local host", 400),
    ("the address that stands for all", "0.0.0.0", 421),
    ("another loopback address", "127.0.0.2", 421),
    ("an address of the network", "192.168.1.1", 421),
    ("the cloud's own address", "169.254.169.254", 421),
    ("another address of IPv6", "[::2]", 421),
    ("all addresses of IPv6", "[::]", 421),
    ("an address of IPv6 without brackets", "::1", 400),
    ("an address of IPv4 inside one of IPv6", "[::ffff:127.0.0.1]", 421),
    ("an open bracket", "[::1", 400),
    ("a number that is an address", "2130706433", 421),
    ("an address in hexadecimal", "0x7f000001", 421),
    ("a short address", "127.1", 421),
    ("a name of other letters", "l\u043ecalhost", 400),
    ("an underscore", "local_host", 400),
    ("a percent sign", "localhost%00", 400),
]


@pytest.mark.parametrize(("host", "status"), [row[1:] for row in HOSTS], ids=[row[0] for row in HOSTS])
def test_a_host_that_is_not_ours_is_refused(live, host, status):
    answer = live.ask("GET", "/api/queue", headers=fill(live, {"Host": host}))
    assert answer.status == status
    fine(live)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:PORT", "LOCALHOST", "127.0.0.1", "127.0.0.1:PORT", "[::1]", "localhost:1"],
)
def test_our_own_names_are_answered_at_any_port(live, host):
    """A tunnel or a container may give the server another port."""
    assert live.ask("GET", "/api/queue", headers=fill(live, {"Host": host})).status == 200


ORIGINS = [
    ("none that is known", {"Origin": "null"}),
    ("another site", {"Origin": "https://evil.example"}),
    ("our name at another port", {"Origin": "http://127.0.0.1:1"}),
    ("our name without the port", {"Origin": "http://127.0.0.1"}),
    ("our name by another scheme", {"Origin": "https://127.0.0.1:PORT"}),
    ("another of our names", {"Origin": "http://localhost:PORT"}),
    ("a name that begins as ours", {"Origin": "http://127.0.0.1.evil.example:PORT"}),
    ("a name that ends as ours", {"Origin": "http://evil-127.0.0.1:PORT"}),
    ("ours as its user", {"Origin": "http://127.0.0.1:PORT@evil.example"}),
    ("a path behind it", {"Origin": "http://127.0.0.1:PORT/"}),
    ("empty", {"Origin": ""}),
    ("a file", {"Origin": "file://"}),
    ("an extension", {"Origin": "chrome-extension://abcdef"}),
    ("a space before it", {"Origin": "http://evil.example http://127.0.0.1:PORT"}),
    ("a list with ours", {"Origin": "http://127.0.0.1:PORT,http://evil.example"}),
    ("another site, as its browser says", {"Sec-Fetch-Site": "cross-site"}),
    ("another site that follows a link", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
    ("a neighbour that embeds", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}),
    ("a neighbour that frames", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate",
                                 "Sec-Fetch-Dest": "iframe"}),
    ("a word that is none", {"Sec-Fetch-Site": "friendly"}),
]  # fmt: skip


@pytest.mark.parametrize("headers", [row[1] for row in ORIGINS], ids=[row[0] for row in ORIGINS])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_another_origin_is_refused(live, method, headers):
    body = {"workflow": FLOW} if method == "POST" else None
    path = "/api/check" if method == "POST" else "/api/queue"
    answer = live.ask(method, path, body, fill(live, headers))
    assert (answer.status, answer.json["type"]) == (403, "/problems/origin")
    assert live.ask(method, path, body, fill(live, {"Origin": "http://127.0.0.1:PORT"})).status == 200


SOCKETS = [row for row in ORIGINS if "Origin" in row[1]]


@pytest.mark.parametrize("headers", [row[1] for row in SOCKETS], ids=[row[0] for row in SOCKETS])
def test_a_websocket_of_another_origin_is_refused(live, headers):
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    answer = live.ask("GET", "/api/events", headers=upgrade | fill(live, headers))
    assert answer.status == 403
    text = "".join(f"{name}: {value}\r\n" for name, value in upgrade.items())
    right = f"Host: 127.0.0.1:{live.port}\r\nOrigin: http://127.0.0.1:{live.port}\r\n"
    head = f"GET /api/events HTTP/1.1\r\n{right}Authorization: Bearer {TOKEN}\r\n{text}\r\n"
    assert live.raw(head.encode(), 0.3).startswith(b"HTTP/1.1 101 ")


def test_a_websocket_without_a_token_is_refused(live):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}  # fmt: skip
    assert live.ask("GET", "/api/events", headers=upgrade, token=False).status == 401
    assert live.ask("GET", f"/api/events?token={TOKEN}", headers=upgrade, token=False).status == 401


TOKENS = [
    ("none", {}),
    ("an empty one", {"Authorization": "Bearer "}),
    ("a wrong one", {"Authorization": "Bearer " + "x" * len(TOKEN)}),
    ("its beginning", {"Authorization": f"Bearer {TOKEN[:-1]}"}),
    ("more than it", {"Authorization": f"Bearer {TOKEN}x"}),
    ("capital letters", {"Authorization": f"Bearer {TOKEN.upper()}"}),
    ("no scheme", {"Authorization": TOKEN}),
    ("another scheme", {"Authorization": f"Basic {TOKEN}"}),
    ("another header", {"X-Token": TOKEN}),
    ("the cookie of another port", {"Cookie": f"graphengine-1={TOKEN}"}),
    ("a cookie of another name", {"Cookie": f"token={TOKEN}"}),
    ("a wrong cookie", {"Cookie": "graphengine-PORT=wrong"}),
    ("an empty cookie", {"Cookie": "graphengine-PORT="}),
    ("a wrong one beside the right cookie",
     {"Authorization": "Bearer wrong", "Cookie": f"graphengine-PORT={TOKEN}"}),
    ("letters that are no ASCII", {"Authorization": "Bearer éé"}),
    ("a NUL's word", {"Authorization": f"Bearer {TOKEN}%00"}),
]  # fmt: skip


@pytest.mark.parametrize("headers", [row[1] for row in TOKENS], ids=[row[0] for row in TOKENS])
@pytest.mark.parametrize(
    "path", ["/api/queue", "/", "/metrics", "/health/ready", "/assets/app.js", "/nothing"]
)
def test_whoever_does_not_show_the_token_is_refused(live, path, headers):
    assert live.ask("GET", path, headers=fill(live, headers), token=False).status == 401
    right = fill(live, {"Cookie": f"graphengine-PORT={TOKEN}"})
    assert live.ask("GET", "/api/queue", headers=right, token=False).status == 200


@pytest.mark.parametrize(
    "path",
    ["/api/queue?token=TOKEN", "/metrics?token=TOKEN", "/?token=wrong", "/?token=", "/?Token=TOKEN",
     "/?token=TOKEN&token=TOKEN", "/api/queue#token=TOKEN"],
)  # fmt: skip
def test_a_token_counts_in_the_link_of_the_page_and_nowhere_else(live, path):
    answer = live.ask("GET", path.replace("TOKEN", TOKEN), token=False)
    assert answer.status in (400, 401)
    assert "Set-Cookie" not in answer.headers
    assert live.ask("GET", f"/?token={TOKEN}", token=False).status == 303


def test_the_link_leads_to_this_server_only(live):
    for path in (f"//evil.example/?token={TOKEN}", f"/%5cevil.example/?token={TOKEN}",
                 f"/\\evil.example?token={TOKEN}"):  # fmt: skip
        answer = live.ask("GET", path, token=False)
        where = answer.headers.get("location", "/")
        assert answer.status in (303, 400)
        assert where.startswith("/")
        assert where[1:2] not in ("/", "\\")
    fine(live)


def test_the_token_stands_in_no_answer(live):
    for path in ("/", "/api/openapi.json", "/metrics", "/api/queue", "/nothing"):
        assert TOKEN.encode() not in live.ask("GET", path).body


KINDS = [
    ("a plain text, as a form can send it", "text/plain"),
    ("a form", "application/x-www-form-urlencoded"),
    ("a form of parts", "multipart/form-data; boundary=x"),
    ("none", None),
    ("an empty one", ""),
    ("one that begins so", "application/jsonx"),
    ("one that has it as a parameter", "text/plain; application/json"),
    ("two of them", "application/json, text/plain"),
    ("another charset", "application/json; charset=utf-16"),
    ("another charset of that name", 'application/json; charset="utf-7"'),
    ("another parameter", "application/json; version=2"),
    ("HTML", "text/html"),
    ("XML", "application/xml"),
    ("a problem", "application/problem+json"),
    ("pickles", "application/x-python-serialize"),
]


@pytest.mark.parametrize("kind", [row[1] for row in KINDS], ids=[row[0] for row in KINDS])
@pytest.mark.parametrize("path", ["/api/jobs", "/api/check"])
def test_a_body_of_another_type_is_refused(live, path, kind):
    answer = live.ask("POST", path, JSON, {"Content-Type": kind})
    assert answer.status == 415
    for right in ("application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"'):
        assert live.ask("POST", "/api/check", JSON, {"Content-Type": right}).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize("path", ["/api/queue/pause", "/api/jobs/abc/cancel"])
def test_a_form_cannot_press_a_button(live, path, kind):
    for body in (b"", b"a=b"):
        assert live.ask("POST", path, body, {"Content-Type": kind}).status == 415
    assert live.ask("GET", "/api/queue").json["paused"] is False
    assert live.ask("POST", "/api/queue/resume").status == 200


VERBS = [
    ("TRACE", "/api/queue", 405),
    ("TRACK", "/api/queue", 400),
    ("DEBUG", "/", 400),
    ("OPTIONS", "/api/jobs", 405),
    ("HEAD", "/api/queue", 405),
    ("PUT", "/api/jobs", 405),
    ("DELETE", "/api/jobs", 405),
    ("PATCH", "/api/queue", 405),
    ("POST", "/api/nodes", 405),
    ("GET", "/api/queue/pause", 405),
    ("GET", "/api/check", 405),
    ("POST", "/", 405),
    ("PROPFIND", "/", 405),
    ("PURGE", "/api/outputs/1", 405),
]


@pytest.mark.parametrize(("method", "path", "status"), VERBS)
def test_a_method_that_a_route_has_not_is_refused(live, method, path, status):
    answer = live.ask(method, path)
    assert answer.status == status
    if status == 405 and method != "HEAD":
        assert answer.json["detail"].startswith("this address is asked with")
    assert not [name for name in answer.headers if name.startswith("access-control")]
    fine(live)


def test_this_is_no_proxy(live):
    for head in ("CONNECT evil.example:443 HTTP/1.1", "GET http://evil.example/ HTTP/1.1",
                 "GET http://127.0.0.1/api/queue HTTP/1.1", "OPTIONS * HTTP/1.1"):  # fmt: skip
        data = f"{head}\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
        assert live.raw(data.encode(), 3).startswith(b"HTTP/1.1 400 "), head
    fine(live)


def test_a_preflight_is_given_no_leave(live):
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for token in (True, False):
        answer = live.ask("OPTIONS", "/api/jobs", headers=headers, token=token)
        assert answer.status == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
    fine(live)


@pytest.mark.parametrize(
    "path",
    ["/api/packs", "/api/nodes/install", "/api/install", "/api/exec", "/api/models/download", "/api/eval",
     "/api/settings", "/api/logs", "/api/jobs/../../logs", "/api/shell", "/api/restart", "/api/upload"],
)  # fmt: skip
def test_there_is_no_route_that_installs_or_runs_code_or_shows_the_machine(live, path):
    for method in ("GET", "POST", "PUT"):
        assert live.ask(method, path, {} if method != "GET" else None).status in (404, 405)
    fine(live)


def test_a_server_with_other_names_origins_and_a_proxy(tmp_path):
    with Live(
        tmp_path,
        hosts=frozenset({"pictures.example"}),
        origins=frozenset({"https://friend.example"}),
        proxies=frozenset({"127.0.0.1"}),
    ) as live:

        def status(**headers: str) -> int:
            given = {name.replace("_", "-"): text for name, text in headers.items()}
            return live.ask("GET", "/api/queue", headers=given).status

        assert status(Host="pictures.example") == 200
        assert status(Host="pictures.example:444") == 200
        assert status(Host="other.example") == 421
        assert status(X_Forwarded_Host="pictures.example") == 200
        assert status(X_Forwarded_Host="evil.example") == 421
        assert status(Origin="https://friend.example", Sec_Fetch_Site="cross-site") == 200
        assert status(Origin="https://friend.example.evil") == 403
        assert status(Origin="http://friend.example") == 403
        https = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "pictures.example"}
        assert status(Origin="https://pictures.example", **https) == 200
        assert status(Origin="http://pictures.example", **https) == 403
        assert status(X_Forwarded_Proto="gopher") == 400
        for chain, client in (("1.2.3.4", "1.2.3.4"), ("9.9.9.9, 1.2.3.4", "1.2.3.4"),
                              ("1.2.3.4, 127.0.0.1", "1.2.3.4"), ("nonsense", "127.0.0.1"),
                              ("::ffff:1.2.3.4", "1.2.3.4")):  # fmt: skip
            job = live.ask("POST", "/api/jobs", {"workflow": FLOW}, {"X-Forwarded-For": chain})
            assert job.json["client"] == client
        way = live.ask("GET", f"/?token={TOKEN}", headers={"X-Forwarded-Proto": "https"}, token=False)
        assert "Secure" in way.headers["Set-Cookie"]


def test_a_proxy_that_is_not_trusted_says_nothing_that_counts(live):
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https",
               "Forwarded": "for=1.2.3.4;host=evil.example"}  # fmt: skip
    job = live.ask("POST", "/api/jobs", {"workflow": FLOW}, headers)
    assert (job.status, job.json["client"]) == (201, "127.0.0.1")


def test_an_open_server_wants_no_token_and_still_looks_at_host_and_origin(tmp_path):
    with Live(tmp_path, token=None) as live:
        assert live.ask("GET", "/api/queue", token=False).status == 200
        assert live.ask("GET", "/api/queue", headers={"Host": "evil.example"}, token=False).status == 421
        assert live.ask("GET", "/api/queue", headers={"Origin": "null"}, token=False).status == 403


def test_a_client_has_so_many_jobs_and_no_more(tmp_path):
    with Live(tmp_path, jobs_per_client=2) as live:
        ids = [live.submit("slow"), live.submit("slow")]
        answer = live.ask("POST", "/api/jobs", {"workflow": FLOW})
        assert (answer.status, answer.json["limit"]) == (429, {"name": "jobs_per_client", "most": 2.0})
        live.ask("POST", f"/api/jobs/{ids[1]}/cancel")
        assert live.ask("POST", "/api/jobs", {"workflow": FLOW}).status == 201
