"""Other people's controllers as child processes of a control plane: the real Kueue, and what an HPA asks for metrics.

    from e2e.testbed.controllers import kueue

    with ControlPlane.start() as plane, kueue.running(plane):
        ...

The API server reaches their webhooks and APIs through a Service of type ExternalName, since endpoints refuse loopback.
"""
