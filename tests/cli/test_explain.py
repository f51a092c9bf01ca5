"""`graphengine explain`"""

from __future__ import annotations

import json


def test_each_node_is_told_with_its_reason(graphengine, sum_file):
    done = graphengine("explain", sum_file)
    assert done.status == 0
    assert "it has not run before" in done.out
    assert graphengine("run", sum_file).status == 0
    rows = json.loads(graphengine("explain", sum_file, "--json").out)
    assert {row["state"] for row in rows} <= {"cached", "runs", "not needed"}
    assert all(row.keys() == {"node", "state", "why"} for row in rows)


def test_a_file_that_is_not_valid_is_refused(graphengine, tmp_path):
    file = tmp_path / "bad.json"
    file.write_text('{"format": 1, "nodes": {"a": {"type": "no.such"}}}')
    done = graphengine("explain", str(file))
    assert done.status == 2
    assert "there is no node type 'no.such'" in done.err
