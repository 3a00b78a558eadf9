"""Breaks a good release in every way the rules know, and expects them to say so."""

import copy
import unittest

from checks import rules
from checks.chart import render, values_of

KUBE = "v1.31.0"


def found(kind, objects):
    return next(thing for thing in objects if thing["kind"] == kind)


def template(objects):
    return found("Deployment", objects)["spec"]["template"]


def container(objects):
    return template(objects)["spec"]["containers"][0]


def backend(objects):
    return found("Ingress", objects)["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]


def config(old, new):
    def change(objects):
        data = found("ConfigMap", objects)["data"]
        assert old in data["hookgate.toml"]
        data["hookgate.toml"] = data["hookgate.toml"].replace(old, new)

    return change


# rule, values file, what is broken
FULL = [
    ("selectors", lambda o: found("Deployment", o)["spec"]["selector"]["matchLabels"].popitem()),
    ("selectors", lambda o: found("Service", o)["spec"]["selector"].update(a="b")),
    ("selectors", lambda o: found("PodDisruptionBudget", o)["spec"]["selector"]["matchLabels"].popitem()),
    ("selectors", lambda o: found("NetworkPolicy", o)["spec"]["podSelector"]["matchLabels"].popitem()),
    ("ports", lambda o: container(o)["livenessProbe"]["httpGet"].update(port="http")),
    ("ports", lambda o: container(o)["readinessProbe"]["httpGet"].update(path="/livez")),
    ("ports", lambda o: container(o)["ports"][0].update(containerPort=8081)),
    ("ports", lambda o: found("Service", o)["spec"]["ports"][0].update(targetPort="web")),
    ("ports", lambda o: found("NetworkPolicy", o)["spec"]["ingress"][1].pop("from")),
    ("ports", config('"0.0.0.0:9090"', '"127.0.0.1:9090"')),
    ("backends", lambda o: backend(o).update(name="x")),
    ("backends", lambda o: found("ServiceMonitor", o)["spec"]["selector"]["matchLabels"].popitem()),
    ("backends", lambda o: found("ServiceMonitor", o)["spec"]["endpoints"][0].update(intervall="1s")),
    ("backends", lambda o: found("HorizontalPodAutoscaler", o)["spec"]["scaleTargetRef"].update(name="x")),
    ("backends", lambda o: found("Deployment", o)["spec"].update(replicas=3)),
    ("accounts", lambda o: template(o)["spec"].update(serviceAccountName="other")),
    ("accounts", lambda o: template(o)["spec"].update(automountServiceAccountToken=True)),
    ("volumes", lambda o: container(o)["volumeMounts"].pop()),
    ("volumes", lambda o: template(o)["spec"]["volumes"][0]["configMap"].update(name="x")),
    ("volumes", lambda o: container(o)["volumeMounts"][2].update(container(o)["volumeMounts"][1], name="secret-1")),
    ("configuration", lambda o: container(o)["args"].pop()),
    ("configuration", lambda o: template(o)["metadata"]["annotations"].clear()),
    ("secrets", lambda o: o.append({"kind": "Secret"})),
    ("secrets", lambda o: container(o)["env"].pop()),
    ("secrets", lambda o: container(o)["env"][0].update(name="OTHER")),
    ("secrets", lambda o: container(o)["env"][0].update(valueFrom={}, value="literal")),
    ("secrets", lambda o: template(o)["spec"]["volumes"][1]["secret"]["items"].pop()),
    ("security", lambda o: template(o)["spec"]["securityContext"].update(runAsUser=0)),
    ("security", lambda o: template(o)["spec"]["securityContext"].pop("seccompProfile")),
    ("security", lambda o: container(o)["securityContext"].update(readOnlyRootFilesystem=False)),
    ("security", lambda o: container(o).pop("securityContext")),
    ("security", lambda o: template(o)["spec"].update(hostNetwork=True)),
    ("resources", lambda o: container(o)["resources"]["limits"].pop("memory")),
    ("resources", lambda o: container(o).update(image="registry.example.com/hookgate:latest")),
    ("disruption", config('"40s"', '"2m"')),
    ("disruption", lambda o: template(o)["spec"].update(terminationGracePeriodSeconds=50)),
    ("disruption", lambda o: found("PodDisruptionBudget", o)["spec"].update(maxUnavailable=3)),
]
SQLITE = [
    ("volumes", lambda o: found("PersistentVolumeClaim", o)["metadata"].update(name="x")),
    ("ledger", config("/var/lib/hookgate/", "/tmp/")),
    ("ledger", lambda o: found("Deployment", o)["spec"].update(replicas=2)),
    ("ledger", lambda o: found("Deployment", o)["spec"]["strategy"].update(type="RollingUpdate")),
    ("ledger", lambda o: found("PersistentVolumeClaim", o)["metadata"].pop("annotations")),
]


class Rules(unittest.TestCase):
    def test_a_broken_release_is_noticed_by_the_rule_that_is_for_it(self):
        for values, breakages in (("full", FULL), ("sqlite", SQLITE)):
            good = render(values_of(values), KUBE)
            for number, (rule, breakage) in enumerate(breakages):
                with self.subTest(values=values, rule=rule, number=number):
                    broken = copy.deepcopy(good)
                    breakage(broken)
                    heard = {problem.partition(":")[0] for problem in rules.problems(broken)}
                    self.assertIn(rule, heard)

    def test_every_rule_is_broken_at_least_once(self):
        broken = {rule for rule, _ in FULL + SQLITE}
        self.assertEqual(broken, {rule.__name__ for rule in rules.RULES})


if __name__ == "__main__":
    unittest.main()
