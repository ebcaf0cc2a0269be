"""Ray Serve with the Open Inference Protocol: the limit's decoder and answer inside a deployment.

Arguments: port, replicas. SIGHUP deploys anew with another argument, which replaces every replica in a rolling update.
"""

import os
import pathlib
import signal
import sys
import time

from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(max_ongoing_requests=100, logging_config={"enable_access_log": False})
class Eta:
    """One replica with the session in it."""

    def __init__(self, folder: str, deployed: float) -> None:
        sys.path.insert(0, folder)
        import raw_asgi  # noqa: PLC0415 - the replica has its own sys.path

        self.deployed = deployed
        self.answer = raw_asgi.answer

    async def __call__(self, request: Request) -> Response:
        """Answer tensors with tensors."""
        return Response(self.answer(await request.body()), media_type="application/json")


def deploy() -> None:
    """Put a new version of the application in force; returns when it runs."""
    replicas = Eta.options(num_replicas=int(sys.argv[2]))
    serve.run(replicas.bind(str(pathlib.Path(__file__).parent), time.time()))


if __name__ == "__main__":
    again: list[int] = []
    signal.signal(signal.SIGHUP, lambda *_: again.append(1))
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    deploy()
    print("deployed", os.getpid(), flush=True)
    while True:
        time.sleep(0.2)
        if again:
            again.clear()
            deploy()
            print("deployed again", flush=True)
