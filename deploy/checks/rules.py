"""What must hold between the objects that the chart renders, beyond what a schema can say.

Pure: objects in, problems out. `deploy/check.py` renders and asks; `test_rules.py` breaks a good
release in every way these rules know and expects to hear of it.
"""

import re
import tomllib

USER = 65532
SELECTOR = ("app.kubernetes.io/name", "app.kubernetes.io/instance")
DEFAULT_GRACE_SECONDS = 25
SECRETS_ROOT = "/run/secrets/"


class Release:
    """The objects of one rendered release."""

    def __init__(self, objects):
        self.objects = objects
        self.deployment = self.one("Deployment")
        self.pod = self.deployment["spec"]["template"]
        self.pod_labels = self.pod["metadata"]["labels"]
        self.spec = self.pod["spec"]
        self.container = self.spec["containers"][0]
        self.ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        self.mounts = {m["name"]: m["mountPath"] for m in self.container["volumeMounts"]}
        self.config_map = self.one("ConfigMap")
        self.config = tomllib.loads(self.config_map["data"]["hookgate.toml"])

    def of(self, kind):
        return [thing for thing in self.objects if thing["kind"] == kind]

    def one(self, kind):
        found = self.of(kind)
        if len(found) != 1:
            raise ValueError(f"expected one {kind}, found {len(found)}")
        return found[0]

    def replicas(self):
        """The least number of replicas there will be."""
        for scaler in self.of("HorizontalPodAutoscaler"):
            return scaler["spec"]["minReplicas"]
        return self.deployment["spec"]["replicas"]


def problems(objects):
    """Returns what is wrong with a rendered release, a line each."""
    release = Release(objects)
    return [f"{rule.__name__}: {problem}" for rule in RULES for problem in rule(release)]


def selectors(release):
    def selects_pods(labels):
        return labels == {key: release.pod_labels.get(key) for key in SELECTOR}

    chosen = {"Deployment": release.deployment["spec"]["selector"]["matchLabels"]}
    for service in release.of("Service"):
        chosen[f"Service {service['metadata']['name']}"] = service["spec"]["selector"]
    for budget in release.of("PodDisruptionBudget"):
        chosen["PodDisruptionBudget"] = budget["spec"]["selector"]["matchLabels"]
    for policy in release.of("NetworkPolicy"):
        chosen["NetworkPolicy"] = policy["spec"]["podSelector"]["matchLabels"]
    for number, spread in enumerate(release.spec["topologySpreadConstraints"]):
        chosen[f"topologySpreadConstraint {number}"] = spread["labelSelector"]["matchLabels"]
    for what, labels in chosen.items():
        if not selects_pods(labels):
            yield f"{what} does not select the pods: {labels}"


def ports(release):
    server = release.config["server"]
    for name, key in (("http", "listen"), ("admin", "admin_listen")):
        address, _, port = server[key].rpartition(":")
        if address not in ("0.0.0.0", "[::]") or int(port) != release.ports.get(name):
            yield f"server.{key} = {server[key]} is not the container's port {name}"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        get = release.container[probe]["httpGet"]
        if get["port"] != "admin" or get["port"] not in release.ports:
            yield f"{probe} asks port {get['port']}"
        if get["path"] != ("/readyz" if probe == "readinessProbe" else "/livez"):
            yield f"{probe} asks {get['path']}"
    for service in release.of("Service"):
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in release.ports:
                yield f"Service {service['metadata']['name']} targets {port['targetPort']}"
            if port["targetPort"] == "admin" and service["spec"]["type"] != "ClusterIP":
                yield "the admin port is offered outside the cluster"
    for policy in release.of("NetworkPolicy"):
        for rule in policy["spec"]["ingress"]:
            for port in rule["ports"]:
                if port["port"] not in release.ports:
                    yield f"NetworkPolicy opens {port['port']}"
                if port["port"] == "admin" and not rule.get("from"):
                    yield "NetworkPolicy opens the admin port to everyone"


def backends(release):
    services = {service["metadata"]["name"]: service for service in release.of("Service")}
    for ingress in release.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                offered = services.get(backend["name"], {"spec": {"ports": []}})["spec"]["ports"]
                targets = [p["targetPort"] for p in offered if p["name"] == backend["port"]["name"]]
                if targets != ["http"]:
                    yield f"Ingress leads to {backend}, not to the public port"
    for monitor in release.of("ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        found = [s for s in services.values() if wanted <= s["metadata"]["labels"].items()]
        named = [port["name"] for service in found for port in service["spec"]["ports"]]
        for endpoint in monitor["spec"]["endpoints"]:
            if len(found) != 1 or endpoint["port"] not in named:
                yield f"ServiceMonitor finds {len(found)} services with port {endpoint['port']}"
            # The public schemas of this kind let unknown keys pass, so these are all there may be.
            if set(endpoint) != {"port", "path", "interval"}:
                yield f"ServiceMonitor endpoint has the keys {sorted(endpoint)}"
    for scaler in release.of("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        if target["name"] != release.deployment["metadata"]["name"]:
            yield f"HorizontalPodAutoscaler scales {target['name']}"
        if "replicas" in release.deployment["spec"]:
            yield "the Deployment and the HorizontalPodAutoscaler both set replicas"


def accounts(release):
    name = release.spec["serviceAccountName"]
    made = [account["metadata"]["name"] for account in release.of("ServiceAccount")]
    if made and made != [name]:
        yield f"pods run as {name}, but the chart makes {made}"
    for holder in [release.spec, *release.of("ServiceAccount")]:
        if holder["automountServiceAccountToken"] is not False:
            yield "a service account token is mounted"


def volumes(release):
    given = {volume["name"]: volume for volume in release.spec["volumes"]}
    if set(given) != set(release.mounts):
        yield f"volumes {sorted(given)} are mounted as {sorted(release.mounts)}"
    if len(set(release.mounts.values())) != len(release.container["volumeMounts"]):
        yield "two volumes share a path"
    claims = [claim["metadata"]["name"] for claim in release.of("PersistentVolumeClaim")]
    for name, volume in given.items():
        if "configMap" in volume and volume["configMap"]["name"] != release.config_map["metadata"]["name"]:
            yield f"volume {name} is of a ConfigMap that is not rendered"
        claimed = volume.get("persistentVolumeClaim", {}).get("claimName")
        if claims and claimed and claimed not in claims:
            yield f"volume {name} is of a claim that is not rendered"


def configuration(release):
    expected = ["serve", "--config", release.mounts["config"] + "/hookgate.toml"]
    if release.container["args"] != expected:
        yield f"the container runs {release.container['args']}, the configuration is {expected[-1]}"
    if not re.fullmatch("[0-9a-f]{64}", release.pod["metadata"]["annotations"].get("checksum/config", "")):
        yield "pods do not change with the configuration"


def secrets(release):
    if release.of("Secret"):
        yield "the chart renders a Secret; secrets are referenced only"
    given = {variable["name"] for variable in release.container.get("env", [])}
    for variable in release.container.get("env", []):
        if "secretKeyRef" not in variable.get("valueFrom", {}):
            yield f"{variable['name']} does not come from a Secret"
    for volume in release.spec["volumes"]:
        if "secret" in volume and volume["name"] in release.mounts:
            root = release.mounts[volume["name"]]
            if root != SECRETS_ROOT + volume["secret"]["secretName"]:
                yield f"{volume['secret']['secretName']} is mounted at {root}"
            given |= {f"{root}/{item['path']}" for item in volume["secret"]["items"]}
    used = set(references(release.config))
    for name in sorted(used - given):
        yield f"the configuration refers to {name}, which the pod is not given"
    for name in sorted(given - used):
        yield f"the pod is given {name}, which the configuration does not use"


def security(release):
    wanted_of_pod = {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
    pod = release.spec["securityContext"]
    for key, value in wanted_of_pod.items():
        if pod.get(key) != value:
            yield f"{key} is {pod.get(key)}"
    if pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "seccompProfile is not RuntimeDefault"
    wanted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    if release.container.get("securityContext") != wanted:
        yield f"the container's securityContext is {release.container.get('securityContext')}"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if release.spec.get(key):
            yield f"{key} is on"


def resources(release):
    given = release.container["resources"]
    for kind, what in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
        if what not in given.get(kind, {}):
            yield f"no {kind}.{what}"
    if "@sha256:" not in release.container["image"] and not re.search(":[0-9]", release.container["image"]):
        yield f"{release.container['image']} is not one version"


def disruption(release):
    grace = release.config["server"].get("shutdown_grace")
    drain = seconds(grace) if grace else DEFAULT_GRACE_SECONDS
    before = release.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
    given = release.spec["terminationGracePeriodSeconds"]
    if given <= drain + before.get("seconds", 0):
        yield f"pods are killed after {given} s, before a drain of {drain} s is over"
    for budget in release.of("PodDisruptionBudget"):
        most = budget["spec"]["maxUnavailable"]
        if not 0 < most < release.replicas():
            yield f"maxUnavailable {most} of {release.replicas()} replicas"


def ledger(release):
    url = release.config["ledger"]["url"]
    if not url.startswith("sqlite:"):
        return
    path = url.removeprefix("sqlite:")
    writable = [
        release.mounts[volume["name"]] + "/"
        for volume in release.spec["volumes"]
        if "persistentVolumeClaim" in volume and volume["name"] in release.mounts
    ]
    if not path.startswith(tuple(writable)):
        yield f"{path} is not on a persistent volume"
    if release.replicas() != 1 or release.of("HorizontalPodAutoscaler"):
        yield "an sqlite ledger has more than one writer"
    if release.deployment["spec"]["strategy"]["type"] != "Recreate":
        yield "an sqlite ledger has two writers during an upgrade"
    for claim in release.of("PersistentVolumeClaim"):
        if claim["metadata"].get("annotations", {}).get("helm.sh/resource-policy") != "keep":
            yield "uninstalling the release removes the ledger"


RULES = (
    selectors,
    ports,
    backends,
    accounts,
    volumes,
    configuration,
    secrets,
    security,
    resources,
    disruption,
    ledger,
)


def references(value):
    """Yields the names and paths that `env:NAME` and `file:PATH` anywhere in a configuration mean."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from references(one)
    elif isinstance(value, str):
        scheme, _, rest = value.partition(":")
        if scheme in ("env", "file"):
            yield rest


def seconds(text):
    """Reads a duration such as `90s` or `2m`."""
    number, unit = re.fullmatch("([0-9]+)(s|m|h)", text).groups()
    return int(number) * {"s": 1, "m": 60, "h": 3600}[unit]
