#!/usr/bin/env python3
"""Checks everything under deploy/ and charts/ without a cluster, a registry or a network.

Run it with the tools of deploy/requirements.txt (`make deploy-check` does). What it cannot prove
here: admission, probes and network policies need a real cluster.
"""

import subprocess
import sys
import tomllib
import unittest
from pathlib import Path

import kubernetes_validate
import yaml
from helm_python import chart as helm
from helm_python import errors as helm_errors

from checks import rules
from checks.chart import CHART, MONITORING, load, render, values_files, values_of

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent
# The chart's oldest, one in between, and the newest whose schemas are at hand.
KUBE_VERSIONS = ("1.27", "1.29", kubernetes_validate.latest_version().rpartition(".")[0])
WITHOUT_SCHEMA = {(MONITORING, "ServiceMonitor")}
LINT_WARNING = 2


def main():
    steps = (rules_notice, chart_holds, chart_refuses, chart_lints, versions, compose, files)
    found = 0
    for step in steps:
        problems = list(step())
        found += len(problems)
        print(f"{'FAIL' if problems else 'ok  '} {step.__name__}: {step.__doc__}")
        for problem in problems:
            print(f"     {problem}")
    return 1 if found else 0


def rules_notice():
    """every rule notices what it is for"""
    suite = unittest.defaultTestLoader.loadTestsFromName("checks.test_rules")
    result = unittest.TestResult()
    suite.run(result)
    if not result.testsRun:
        yield "no tests were found"
    for test, trace in result.failures + result.errors:
        yield f"{test}: {trace.strip().splitlines()[-1]}"


def chart_holds():
    """every values file renders, fits the schemas of Kubernetes and keeps the rules"""
    for path in values_files():
        for version in KUBE_VERSIONS:
            for monitoring in (False, True):
                where = f"{path.name} on {version}"
                objects = render(load(path), f"v{version}.0", monitoring=monitoring)
                yield from (f"{where}: {problem}" for problem in rules.problems(objects))
                yield from (f"{where}: {problem}" for problem in misfits(objects, version))
                monitored = any(thing["kind"] == "ServiceMonitor" for thing in objects)
                wanted = load(path).get("serviceMonitor", {}).get("enabled", False)
                if monitored != (wanted and monitoring):
                    yield f"{where}: ServiceMonitor rendered is {monitored}"


def misfits(objects, version):
    for thing in objects:
        name = f"{thing['kind']} {thing['metadata']['name']}"
        if (thing["apiVersion"], thing["kind"]) in WITHOUT_SCHEMA:
            continue
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            yield f"{name}: no schema of {thing['apiVersion']}"
        except kubernetes_validate.ValidationError as error:
            yield f"{name}: {error.message} at {'.'.join(map(str, error.path))}"


# What must be refused, and a word of why.
REFUSED = (
    ({"replicaCount": "two"}, "replicaCount"),
    ({"replicaCount": 0}, "replicaCount"),
    ({"replicas": 2}, "replicas"),
    ({"image": {"tag": "latest"}}, "tag"),
    ({"image": {"digest": "sha256:abc"}}, "digest"),
    ({"image": {"repository": ""}}, "image.repository"),
    ({"config": ""}, "config is required"),
    ({"config": 5}, "config"),
    ({"config": 'admin_listen = "0.0.0.0:9090"\n[ledger]'}, "listen"),
    ({"config": 'listen = "0.0.0.0:8080"\n[ledger]'}, "admin_listen"),
    ({"config": 'listen = "0.0.0.0:8080"\nadmin_listen = "0.0.0.0:9090"'}, "ledger"),
    ({"secretEnv": [{"name": "A", "value": "literal"}]}, "value"),
    ({"secretEnv": [{"name": "A-B", "secret": "s", "key": "k"}]}, "name"),
    ({"secretFiles": [{"secret": "s", "keys": []}]}, "keys"),
    ({"secretFiles": [{"secret": "s", "keys": ["../k"]}]}, "keys"),
    ({"persistence": {"enabled": True}, "replicaCount": 2}, "replicaCount"),
    ({"persistence": {"enabled": True}, "replicaCount": 1, "autoscaling": {"enabled": True}}, "autoscaling"),
    ({"ingress": {"enabled": True}}, "host"),
    ({"service": {"type": "ExternalName"}}, "type"),
    ({"resources": {"limits": {"memory": None}}}, "memory"),
    ({"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 4}}, "maxReplicas"),
    ({"podDisruptionBudget": {"maxUnavailable": 2}}, "maxUnavailable"),
    ({"terminationGracePeriodSeconds": "40s"}, "terminationGracePeriodSeconds"),
)


def chart_refuses():
    """bad values are refused with a reason"""
    # Every case must fail for its own reason, so each starts from values that are good.
    good = values_of("minimal")
    sqlite = values_of("sqlite")
    cases = [(good | bad, bad, word) for bad, word in REFUSED]
    cases.append((sqlite | {"persistence": {"enabled": False}}, "sqlite on no volume", "persistence"))
    for values, bad, word in cases:
        values["image"] = good["image"] | values["image"]
        try:
            render(values, "v1.31.0")
        except helm_errors.HelmError as error:
            if word not in str(error):
                yield f"{bad} is refused for another reason: {error}"
        else:
            yield f"{bad} is accepted"


def chart_lints():
    """helm lint --strict has nothing to say"""
    for path in values_files():
        for version in KUBE_VERSIONS:
            report = helm.lint(CHART, load(path), strict=True, kube_version=f"v{version}.0")
            yield from (f"{path.name}: {error}" for error in report["errors"])
            for message in report["messages"]:
                if message["severity"] >= LINT_WARNING:
                    yield f"{path.name}: {message['path']}: {message['error']}"


def versions():
    """chart and package say the same version"""
    package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    if chart["appVersion"] != package["version"]:
        yield f"Chart.yaml says {chart['appVersion']}, Cargo.toml {package['version']}"
    if chart.get("kubeVersion") != f">={KUBE_VERSIONS[0]}.0-0":
        yield f"kubeVersion is {chart.get('kubeVersion')}"


def compose():
    """what the compose file's configuration needs is given to the gateway"""
    document = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    services = document["services"]
    gateway = services["gateway"]
    config = tomllib.loads((ROOT / "deploy/hookgate.toml").read_text())
    given = {f"/run/secrets/{name}" for name in gateway["secrets"]}
    used = set(rules.references(config))
    if given != used:
        yield f"secrets given {sorted(given)}, used {sorted(used)}"
    made = (ROOT / "deploy/secrets.sh").read_text()
    for name, secret in document["secrets"].items():
        if f"{Path(secret['file']).name}" not in made:
            yield f"secrets.sh does not make {name}"
    published = [str(port).rpartition(":")[2] for port in gateway["ports"]]
    listened = [config["server"][key].rpartition(":")[2] for key in ("listen", "admin_listen")]
    if published != listened:
        yield f"ports published {published}, listened on {listened}"
    grace = rules.seconds(config["server"].get("shutdown_grace", "25s"))
    if rules.seconds(gateway["stop_grace_period"]) <= grace:
        yield "the gateway is killed before its drain is over"
    if gateway.get("read_only") is not True or not gateway["user"].startswith("65532"):
        yield "the gateway is not read-only and non-root"
    for name, service in services.items():
        if service.get("cap_drop") != ["ALL"]:
            yield f"{name} keeps capabilities"
        if service.get("security_opt") != ["no-new-privileges:true"]:
            yield f"{name} may gain privileges"


def files():
    """Dockerfile, compose file, workflows, YAML and scripts pass their linters"""
    scripts = [".ci/run", *sorted(map(str, ROOT.glob("*/*.sh")))]
    workflows = sorted(map(str, ROOT.glob(".github/workflows/*.yml")))
    charted = [CHART / "Chart.yaml", CHART / "values.yaml", *values_files()]
    commands = (
        ["hadolint", "deploy/Dockerfile"],
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml"],
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows],
        ["yamllint", "--strict", "-c", "deploy/yamllint.yaml", "deploy/compose.yaml", *workflows, *map(str, charted)],
        ["shellcheck", *scripts],
    )
    for command in commands:
        tool = TOOLS / command[0]
        if not tool.exists():
            yield f"{command[0]} is not installed: run deploy/tools.sh"
            continue
        done = subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            yield f"{command[0]}:\n{done.stdout}{done.stderr}"


if __name__ == "__main__":
    sys.exit(main())
