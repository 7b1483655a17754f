"""Attribute keys that describe a resource, for formats that keep them among the tags of a span.

Source: OpenTelemetry semantic conventions, "Resource"; the Collector's zipkin translator moves
them in the same way.
"""

from __future__ import annotations

from typing import Final

_KEYS = """
android.os.api_level browser.brands browser.language browser.mobile browser.platform
cloud.account.id cloud.availability_zone cloud.platform cloud.provider cloud.region
cloud.resource_id container.command container.command_args container.command_line container.id
container.image.id container.image.name container.image.repo_digests container.image.tag
container.image.tags container.name container.runtime deployment.environment
deployment.environment.name device.id device.manufacturer device.model.identifier
device.model.name faas.id faas.instance faas.max_memory faas.name faas.version host.arch
host.cpu.cache.l2.size host.cpu.family host.cpu.model.id host.cpu.model.name host.cpu.stepping
host.cpu.vendor.id host.id host.image.id host.image.name host.image.version host.ip host.mac
host.name host.type k8s.cluster.name k8s.cluster.uid k8s.container.name
k8s.container.restart_count k8s.cronjob.name k8s.cronjob.uid k8s.daemonset.name
k8s.daemonset.uid k8s.deployment.name k8s.deployment.uid k8s.job.name k8s.job.uid
k8s.namespace.name k8s.node.name k8s.node.uid k8s.pod.ip k8s.pod.name k8s.pod.start_time
k8s.pod.uid k8s.replicaset.name k8s.replicaset.uid k8s.statefulset.name k8s.statefulset.uid
os.build_id os.description os.name os.type os.version process.command process.command_args
process.command_line process.executable.name process.executable.path process.owner
process.parent_pid process.pid process.runtime.description process.runtime.name
process.runtime.version service.instance.id service.name service.namespace service.version
telemetry.auto.version telemetry.distro.name telemetry.distro.version telemetry.sdk.language
telemetry.sdk.name telemetry.sdk.version webengine.description webengine.name webengine.version
aws.ecs.cluster.arn aws.ecs.container.arn aws.ecs.launchtype aws.ecs.task.arn
aws.ecs.task.family aws.ecs.task.revision aws.eks.cluster.arn aws.log.group.arns
aws.log.group.names aws.log.stream.arns aws.log.stream.names gcp.cloud_run.job.execution
gcp.cloud_run.job.task_index gcp.gce.instance.hostname gcp.gce.instance.name
heroku.app.id heroku.release.commit heroku.release.creation_timestamp
"""

RESOURCE_KEYS: Final = frozenset(_KEYS.split())
