"""Settings come from the environment, and docs/settings.md is what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.settings import BadSetting, describe, load_settings


def test_defaults_listen_on_loopback() -> None:
    """Nothing set: loopback, port 8000, everything embedded."""
    settings = load_settings({"TANDEM_PORT": "", "OTHER": "1"})
    assert (settings.host, settings.url, settings.redis_url) == ("127.0.0.1", "http://127.0.0.1:8000", "")
    assert settings.state.startswith("sqlite:////")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104 - a value, not a listener
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("10.0.0.5", "http://10.0.0.5:8000"),
    ],
)
def test_the_url_can_be_called(host: str, url: str) -> None:
    """A wildcard address is no address to call."""
    assert load_settings({"TANDEM_HOST": host}).url == url


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        ("PORT", "0", "1 to 65535"),
        ("PORT", "80a", "a whole number"),
        ("PORT", "70000", "65535"),
        ("REPLICAS", "1.5", "a whole number"),
        ("FEATURE_DEADLINE_MS", "nan", "1 to 10000"),
        ("FEATURE_DEADLINE_MS", "inf", "1 to 10000"),
        ("HOST", "localhost", "an IP address"),
        ("REDIS_URL", "http://x:secret@y", "redis://"),
        ("WEBHOOK_URL", "ftp://x:secret@y", "http://"),
    ],
)
def test_a_bad_value_names_variable_value_and_limit(name: str, value: str, limit: str) -> None:
    """What is wrong, where, and what would be right; a password is not repeated."""
    with pytest.raises(BadSetting) as caught:
        load_settings({f"TANDEM_{name}": value})
    words = str(caught.value)
    assert f"TANDEM_{name}=" in words
    assert limit in words
    assert "secret" not in words


def test_a_webhook_is_signed_with_a_key_worth_the_name() -> None:
    """None or a short one is refused without being repeated."""
    for key in ("", "secret"):
        with pytest.raises(BadSetting, match=r"TANDEM_WEBHOOK_SECRET=.*16 characters or more") as caught:
            load_settings({"TANDEM_WEBHOOK_URL": "https://hooks.example/x", "TANDEM_WEBHOOK_SECRET": key})
        assert "'secret'" not in str(caught.value)
    given = {"TANDEM_WEBHOOK_URL": "https://hooks.example/x", "TANDEM_WEBHOOK_SECRET": "k" * 16}
    assert load_settings(given).webhook_secret == "k" * 16


def test_the_documentation_is_the_codes() -> None:
    """Every setting's line stands in docs/settings.md."""
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    assert describe() in page.read_text()
