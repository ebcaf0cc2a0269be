"""Deploy a running stack's application anew with a setting changed, which replaces every replica in a rolling update.

Arguments: the process id of the stack's application. It joins that stack's Ray with the token in its environment.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

import psutil


def main() -> None:
    """Join, deploy, and return when the new replicas have taken over."""
    application = psutil.Process(int(sys.argv[1]))
    os.environ.update(application.environ())
    # Ray reads the environment when it is imported.
    import ray  # noqa: PLC0415
    from ray import serve  # noqa: PLC0415

    from serving.app import APPLICATION, SOCKETS_VARIABLE, build  # noqa: PLC0415
    from serving.settings import load_settings  # noqa: PLC0415

    ray.init(address=_gcs(application), namespace=APPLICATION, log_to_driver=False, _node_ip_address="127.0.0.1")
    settings = load_settings(os.environ)
    changed = replace(settings, route_poll_ms=settings.route_poll_ms + 1)
    serve.run(build(changed, Path(os.environ[SOCKETS_VARIABLE])), name=APPLICATION, route_prefix=None)


def _gcs(application: psutil.Process) -> str:
    for process in application.children(recursive=True):
        for word in process.cmdline():
            if word.startswith("--gcs-address="):
                return word.partition("=")[2]
    raise LookupError(f"no Ray below process {application.pid}")


if __name__ == "__main__":
    main()
