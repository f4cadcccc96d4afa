"""Other people's controllers as child processes of a control plane: the real Kueue, JobSet,
LeaderWorkerSet, Trainer and KEDA, and a stand-in for another adapter of metrics.

    from e2e.testbed.controllers import kueue

    with ControlPlane.start() as plane, kueue.running(plane):
        ...

The API server reaches their webhooks and APIs through a Service of type ExternalName, since endpoints refuse loopback.
"""
