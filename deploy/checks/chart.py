"""Renders the chart with Helm's own engine, which the package helm-python-sdk carries."""

import json
from pathlib import Path

import yaml
from helm_python import _native
from helm_python import chart as helm

CHART = Path(__file__).resolve().parents[2] / "charts/hookgate"
MONITORING = "monitoring.coreos.com/v1"


def render(values, kube_version, *, monitoring=True):
    """Renders the chart as an install would. The public wrapper cannot say what the cluster offers."""
    options = {
        "name": "hooks",
        "namespace": "ingest",
        "kube_version": kube_version,
        "api_versions": [MONITORING] if monitoring else [],
    }
    with helm.Chart.load(CHART) as chart:
        answer = _native.call_string("helm_render", chart._raw(), json.dumps(values), json.dumps(options))
    rendered = {path: text for path, text in json.loads(answer).items() if path.endswith(".yaml")}
    return [thing for text in rendered.values() for thing in yaml.safe_load_all(text) if thing]


def values_files():
    found = sorted(CHART.glob("ci/*-values.yaml"))
    if not found:
        raise FileNotFoundError("no values files under charts/hookgate/ci")
    return found


def values_of(name):
    return load(CHART / f"ci/{name}-values.yaml")


def load(path):
    return yaml.safe_load(path.read_text())
