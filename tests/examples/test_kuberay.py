"""The training on Kubernetes is one that KubeRay takes, and its settings agree with each other."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bitesize.memory.sizes import parse_size

yaml, jsonschema = pytest.importorskip("yaml"), pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
FILE, PAGE = ROOT / "examples" / "clusters" / "kuberay.yaml", ROOT / "docs" / "clusters.md"


def fields(required=(), **properties):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def list_of(item):
    return {"type": "array", "items": item, "minItems": 1}


TEXT, COUNT = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}
QUANTITY = {"type": "string", "pattern": r"^\d+(\.\d+)?(m|[KMGT]i?)?$"}
# Values are strings, also numbers: KubeRay puts them behind the options of `ray start`.
PARAMETERS = {"type": "object", "additionalProperties": {"type": "string"}}
RESOURCES = {"type": "object", "additionalProperties": QUANTITY}
CONTAINER = fields(
    ["name", "image"],
    name={"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
    image=TEXT,
    resources=fields(requests=RESOURCES, limits=RESOURCES),
    volumeMounts=list_of(fields(["name", "mountPath"], name=TEXT, mountPath={"type": "string", "pattern": "^/"})),
)
POD = fields(
    ["spec"],
    spec=fields(
        ["containers"],
        restartPolicy={"enum": ["Always", "OnFailure", "Never"]},
        containers=list_of(CONTAINER),
        volumes=list_of(fields(["name"], name=TEXT, persistentVolumeClaim=fields(["claimName"], claimName=TEXT))),
    ),
)
# The fields that the file uses, with their types in KubeRay 1.7. Its own schema is in no package of PyPI or npm.
SCHEMA = fields(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields(["name"], name={"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 47}),
    spec=fields(
        ["entrypoint", "rayClusterSpec"],
        entrypoint=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        backoffLimit=COUNT,
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=COUNT,
        rayClusterSpec=fields(
            ["headGroupSpec"],
            rayVersion=TEXT,
            headGroupSpec=fields(["template"], rayStartParams=PARAMETERS, template=POD),
            workerGroupSpecs=list_of(
                # Without autoscaling, KubeRay refuses groups without both limits.
                fields(
                    ["groupName", "template", "minReplicas", "maxReplicas"],
                    groupName=TEXT,
                    replicas=COUNT,
                    minReplicas=COUNT,
                    maxReplicas=COUNT,
                    rayStartParams=PARAMETERS,
                    template=POD,
                )
            ),
        ),
    ),
)


@pytest.fixture
def job():
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def faults(schema, job):
    return [f"{list(fault.path)}: {fault.message}" for fault in jsonschema.Draft202012Validator(schema).iter_errors(job)]


def groups(job):
    cluster = job["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def container(group):
    (only,) = group["template"]["spec"]["containers"]
    return only


def option(job, name):
    return re.search(rf"{name} (\S+)", job["spec"]["entrypoint"])[1]


def test_its_fields_have_the_names_and_types_of_a_ray_job(job):
    assert faults(SCHEMA, job) == []


def test_the_schema_refuses_what_kuberay_would_refuse_or_ignore(job):
    groups(job)[1]["rayStartParams"]["num-cpus"] = 1
    del groups(job)[1]["maxReplicas"]
    job["spec"]["backofLimit"] = 2
    assert len(faults(SCHEMA, job)) == 3


def strict(node):
    """Refuse unknown fields, which Kubernetes only warns of; and write its own extensions as JSON schema."""
    if isinstance(node, dict):
        if node.get("x-kubernetes-int-or-string"):
            node.update(type=["integer", "string"])
            node.pop("anyOf", None)
        elif "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields"):
            node.setdefault("additionalProperties", False)
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        strict(child)


def test_kuberay_s_own_schema_takes_it(job):
    path = os.environ.get("BITESIZE_KUBERAY_SCHEMA")
    if path is None:
        pytest.skip("no package has KubeRay's schema: BITESIZE_KUBERAY_SCHEMA is the path of its ray.io_rayjobs.yaml")
    versions = yaml.safe_load(Path(path).read_text(encoding="utf-8"))["spec"]["versions"]
    (schema,) = (version["schema"]["openAPIV3Schema"] for version in versions if version["name"] == "v1")
    strict(schema)
    schema["properties"]["metadata"] = {"type": "object"}  # which Kubernetes checks itself
    assert faults(schema, job) == []
    job["spec"]["backofLimit"] = 2
    assert len(faults(schema, job)) == 1


def test_there_are_as_many_pods_as_workers(job):
    least, most = map(int, option(job, "--workers").split(".."))
    head, workers = groups(job)
    assert (workers["minReplicas"], workers["maxReplicas"], workers["replicas"]) == (least, most, most)
    assert (head["rayStartParams"]["num-cpus"], workers["rayStartParams"]["num-cpus"]) == ("0", "1")


def test_the_memory_of_a_pod_holds_budget_and_object_store_and_leaves_room_for_the_model(job):
    budget = parse_size(option(job, "--memory"))
    for group in groups(job):
        resources = container(group)["resources"]
        limit = parse_size(resources["limits"]["memory"] + "B")
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
        assert budget + int(group["rayStartParams"]["object-store-memory"]) + 2 * 2**30 < 0.95 * limit


def test_data_and_run_are_in_a_volume_that_every_pod_mounts(job):
    paths = [job["spec"]["entrypoint"].split()[2], option(job, "--out")]
    for group in groups(job):
        (mount,) = container(group)["volumeMounts"]
        (volume,) = group["template"]["spec"]["volumes"]
        assert mount["name"] == volume["name"]
        assert volume["persistentVolumeClaim"] == {"claimName": "data"}
        assert all(path.startswith(mount["mountPath"] + "/") for path in paths)


def test_a_new_cluster_continues_the_run(job):
    assert job["spec"]["backoffLimit"] > 0
    assert "--out" in job["spec"]["entrypoint"]
    assert "--overwrite" not in job["spec"]["entrypoint"]


def test_all_pods_have_one_image_with_the_ray_of_the_cluster(job):
    assert len({container(group)["image"] for group in groups(job)}) == 1
    page = PAGE.read_text(encoding="utf-8")
    assert f"FROM rayproject/ray:{job['spec']['rayClusterSpec']['rayVersion']}\n" in page


def test_the_page_shows_the_file(job):
    assert f"```yaml\n{FILE.read_text(encoding='utf-8')}```" in PAGE.read_text(encoding="utf-8")


def test_the_script_for_slurm_is_one_that_bash_reads():
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    (script,) = re.findall(r"```bash\n(#!.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert "#SBATCH --ntasks-per-node=1\n" in script  # one torchrun on each node
