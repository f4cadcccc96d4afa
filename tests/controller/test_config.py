"""The configuration file: what is wrong is named by file and field, with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfu.controller.config import BadConfig, OperatorConfig, load, parse


def test_every_field_has_a_default(tmp_path: Path) -> None:
    empty = tmp_path / "config.yaml"
    empty.write_text("")
    assert load(None) == load(empty) == OperatorConfig()


def test_api_spelling_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("dcgm: {urlTemplate: 'http://{node}:9400/metrics', scrapeIntervalSeconds: 5}\ndryRun: true\n")
    read = load(file)
    assert (read.dcgm.url_template, read.dcgm.scrape_interval_seconds) == ("http://{node}:9400/metrics", 5.0)
    assert read.dry_run


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dcgm: {scrapeInterval: 5}", ["dcgm.scrapeInterval", "not permitted", "did you mean scrapeIntervalSeconds?"]),
        ("dcgm: {urlTemplate: 'http://exporter:9400'}", ["dcgm.urlTemplate", "must contain {node}"]),
        ("cycle: {idleSeconds: 0}", ["cycle.idleSeconds", "greater than 0"]),
        ("server: {port: 70000}", ["server.port", "65535"]),
        ("server: {port: http}", ["server.port", "valid integer"]),
        ("dcgm: {enabled: perhaps}", ["dcgm.enabled", "valid boolean"]),
        ("shard: {namespaceSelector: {matchLabels: {a: b}}}", ["shard.namespaceSelector", "name the shard too"]),
        ("shard: {name: east}", ["shard.name is set", "namespaceSelector", "all of them"]),
        ("shard: {name: e, namespaceSelector: {matchLabel: {a: b}}}", ["did you mean matchLabels?"]),
        ("shard: {name: East}", ["shard.name", "pattern"]),
        (
            "shard: {name: e, namespaceSelector: {matchLabels: {a: b}}}\nactions: [MIGLayout]",
            ["actions lists MIGLayout", "whole cluster", "leave it out"],
        ),
        ("- a list", ["is a list", "write a mapping"]),
        ("dcgm: {", ["is no YAML"]),
        ("a: 1\nb: 2", ["a: ", "b: ", "known fields are dcgm"]),
    ],
)
def test_bad_configuration_names_file_and_field(tmp_path: Path, text: str, words: list[str]) -> None:
    file = tmp_path / "operator.yaml"
    file.write_text(text)
    with pytest.raises(BadConfig) as raised:
        load(file)
    said = str(raised.value)
    assert said.startswith(str(file))
    assert [word for word in words if word not in said] == []


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(BadConfig, match=r"nowhere\.yaml: can not be read: No such file"):
        load(Path("nowhere.yaml"))


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(Exception, match="frozen"):
        parse({}, "x").dry_run = True  # type: ignore[misc]


@pytest.mark.parametrize(
    "path",
    [
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
        "/etc/mfu/../../var/run/secrets/kubernetes.io/serviceaccount/token",
    ],
)
def test_the_operators_own_token_is_sent_to_nobody_else(path: str) -> None:
    with pytest.raises(BadConfig, match=r"prometheus\.bearerTokenFile.*own API token"):
        parse({"prometheus": {"url": "http://p", "bearerTokenFile": path}}, "c.yaml")
    assert parse(
        {"prometheus": {"bearerTokenFile": "/etc/mfu-prometheus/token"}}, "c.yaml"
    ).prometheus.bearer_token_file
