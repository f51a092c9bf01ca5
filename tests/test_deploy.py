"""The Kubernetes manifest is one that KubeRay takes, and says what the server understands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

import graphengine
from graphengine.cli import app
from graphengine.config import Settings

FILE = Path(graphengine.__file__).parent / "deploy" / "kuberay.yaml"
CLAIM, QUEUE, CLUSTER = yaml.safe_load_all(FILE.read_text("utf-8"))
HEAD = CLUSTER["spec"]["headGroupSpec"]
(WORKERS,) = CLUSTER["spec"]["workerGroupSpecs"]

FIELDS = (
    "name", "image", "command", "args", "ports", "env", "readinessProbe", "resources", "securityContext",
    "volumeMounts",
)  # fmt: skip
PODS = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "required": ["containers", "volumes", "securityContext", "automountServiceAccountToken"],
            "additionalProperties": False,
            "properties": {
                "automountServiceAccountToken": {"const": False},
                "securityContext": {"type": "object", "required": ["runAsNonRoot", "fsGroup"]},
                "volumes": {"type": "array", "items": {"required": ["name", "persistentVolumeClaim"]}},
                "containers": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["name", "image", "resources", "volumeMounts", "securityContext"],
                        "additionalProperties": False,
                        "properties": {name: {} for name in FIELDS},
                    },
                },
            },
        },
    },
}  # fmt: skip
GROUP = {"rayStartParams": {"type": "object", "additionalProperties": {"type": "string"}}, "template": PODS}
SCHEMA = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayCluster"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "required": ["rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"],
            "additionalProperties": False,
            "properties": {
                "rayVersion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
                "authOptions": {"const": {"mode": "token"}},
                "headGroupSpec": {
                    "type": "object",
                    "required": ["rayStartParams", "template"],
                    "additionalProperties": False,
                    "properties": GROUP,
                },
                "workerGroupSpecs": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["groupName", "replicas", "minReplicas", "maxReplicas", "template"],
                        "additionalProperties": False,
                        "properties": GROUP
                        | {
                            "groupName": {"type": "string"},
                            "replicas": {"type": "integer"},
                            "minReplicas": {"type": "integer"},
                            "maxReplicas": {"type": "integer"},
                        },
                    },
                },
            },
        },
    },
}
"""What matters of the resource `RayCluster` of KubeRay 1.6."""


def pods() -> list[dict[str, Any]]:
    return [HEAD["template"]["spec"], WORKERS["template"]["spec"]]


def test_it_is_a_ray_cluster_that_wants_a_token():
    jsonschema.validate(CLUSTER, SCHEMA)
    major, minor, _ = map(int, CLUSTER["spec"]["rayVersion"].split("."))
    assert (major, minor) >= (2, 52)
    assert f'"ray=={CLUSTER["spec"]["rayVersion"]}"' in FILE.read_text("utf-8")


def test_every_container_has_the_same_image_and_no_more_rights_than_it_needs():
    containers = [container for pod in pods() for container in pod["containers"]]
    assert {container["image"] for container in containers} == {f"graphengine:{graphengine.__version__}"}
    for container in containers:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


def test_every_folder_is_on_a_volume_that_is_claimed_and_the_shared_ones_are_at_one_place():
    claims = {claim["metadata"]["name"]: claim["spec"]["accessModes"] for claim in (CLAIM, QUEUE)}
    assert claims == {"graphengine-queue": ["ReadWriteOnce"], "graphengine-shared": ["ReadWriteMany"]}
    shared = []
    for pod in pods():
        volumes = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
        assert set(volumes.values()) <= claims.keys()
        mounts = pod["containers"][0]["volumeMounts"]
        assert {mount["name"] for mount in mounts} == volumes.keys()
        shared.append([m for m in mounts if volumes[m["name"]] == "graphengine-shared"])
    assert shared[0] == shared[1]
    settings = {
        entry["name"]: entry.get("value") for entry in HEAD["template"]["spec"]["containers"][0]["env"]
    }
    places = [mount["mountPath"] for mount in shared[0]]
    assert f"{settings['GRAPHENGINE_DATA']}/inputs" in places
    for name in ("MODELS", "NODES", "CACHE"):
        assert str(settings[f"GRAPHENGINE_{name}"]).startswith("/shared/")


def test_the_server_understands_its_options_and_its_environment():
    container = HEAD["template"]["spec"]["containers"][0]
    (line,) = re.findall(r"exec (graphengine serve (?:.|\n)*)", container["args"][0])
    words = shlex.split(line.replace("\\\n", " "))
    serve = typer.main.get_command(app).commands["serve"]
    given = serve.make_context("serve", words[2:]).params
    assert (given["executor"], given["ray_address"], given["device"]) == ("ray", "127.0.0.1:6379", ["cuda"])
    assert given["workers"] == WORKERS["replicas"] == WORKERS["minReplicas"]
    assert given["port"] in [port["containerPort"] for port in container["ports"]]
    for entry in container["env"]:
        assert entry["name"].removeprefix("GRAPHENGINE_").lower() in Settings.model_fields
    assert HEAD["template"]["metadata"]["annotations"] == {"ray.io/overwrite-container-cmd": "true"}
    assert HEAD["rayStartParams"]["num-cpus"] == "0"


def test_a_worker_has_one_gpu():
    resources = WORKERS["template"]["spec"]["containers"][0]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == 1


@pytest.mark.parametrize("part", ["authOptions", "rayVersion", "workerGroupSpecs"])
def test_a_manifest_without_a_part_is_refused(part):
    spec = {name: value for name, value in CLUSTER["spec"].items() if name != part}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(CLUSTER | {"spec": spec}, SCHEMA)
