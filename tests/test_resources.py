"""The shipped data files are found, in a checkout and in a wheel."""

from __future__ import annotations

from graphengine import resources


def test_shipped_workflows_are_found_by_name():
    assert "text_to_image" in resources.workflow_names()
    for name in resources.workflow_names():
        path = resources.workflow(name)
        assert path is not None
        assert path.is_file()


def test_a_name_leads_nowhere_but_to_a_shipped_workflow():
    for name in ("nope", "../pyproject", "", "text_to_image.json"):
        assert resources.workflow(name) is None


def test_in_a_wheel_they_are_inside_the_package(tmp_path, monkeypatch):
    package = tmp_path / "graphengine"
    (package / "_workflows").mkdir(parents=True)
    (package / "_workflows" / "mine.json").write_text("{}")
    (tmp_path / "workflows").mkdir()  # somebody else's, beside the package
    monkeypatch.setattr(resources, "PACKAGE", package)
    assert resources.workflow_names() == ["mine"]
