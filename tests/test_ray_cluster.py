"""The cluster file is one that Ray's own launcher accepts."""

from __future__ import annotations

from pathlib import Path

import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

CLUSTER = Path(__file__).parent.parent / "ray_cluster.yaml"


def test_ray_accepts_the_cluster_file() -> None:
    """Ray's schema and its local provider's preparation both take it."""
    config = prepare_config(yaml.safe_load(CLUSTER.read_text()))
    validate_config(config)
    assert config["max_workers"] == 2


def test_ray_ports_ask_for_a_token() -> None:
    """A Ray port runs any code it is sent: both start commands turn authentication on."""
    config = yaml.safe_load(CLUSTER.read_text())
    for kind in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert "RAY_AUTH_MODE=token" in config[kind][-1]
