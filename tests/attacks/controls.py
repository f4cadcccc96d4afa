"""Every control against a listed threat: where it stands, what it looks like switched off, which test fails then.

`docs/security.md` has the same list in words; `switch_off.py` tries each.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Control(NamedTuple):
    """`old` stands once in `file` (below operator/mfu); with `new` in its place `test` must fail."""

    threat: str
    name: str
    file: str
    old: str
    new: str
    test: str


FORGED, INHERITED, WEAPON, STEERED = "Forged telemetry", "Inherited numbers", "Progress as a weapon", "Steered requests"
LIES = "Progress that lies"
FIGURES, MONEY, ODD, TURNS = "Figures from untrusted readings", "False money", "Odd answers", "Stolen turns"
SLOW, PAGE = "A slow API server", "The metrics page"

WEAPON_TESTS: Final = "tests/telemetry/test_progress_is_no_weapon.py"
DECLARED_TESTS: Final = "tests/telemetry/test_progress_declared.py"
RATE_TESTS: Final = "tests/observe/test_progress_rates.py"
BINDING_TESTS: Final = "tests/telemetry/test_binding.py"
ODD_TESTS: Final = "tests/cluster/test_odd_servers.py"
WRITER_TESTS: Final = "tests/cluster/test_writer.py"

CONTROLS: Final = tuple(
    Control(*each)
    for each in (
        (FORGED, "exporters of one namespace only", "cluster/state.py",
         "_exporter, where.namespace,", "_exporter, None,", f"{ODD_TESTS} -k looked_for_in_their_namespace"),
        (FORGED, "exporters run and belong to a DaemonSet", "cluster/state.py",
         "if not (node and address and placed and running and is_plain(address)):", "if not (node and address):",
         "tests/controller/test_targets.py -k may_speak"),
        (FORGED, "two exporters of one node silence it", "controller/targets.py",
         "for node, them in by_node.items() if len(them) == 1}", "for node, them in by_node.items()}",
         "tests/controller/test_targets.py -k two_exporters"),
        (FORGED, "rows about pods of another node are dropped", "telemetry/rounds/binding.py",
         "if bound is None or device.node != bound.node or device.pod_uid not in (None, bound.uid):",
         "if bound is None:", BINDING_TESTS),
        (FORGED, "no node touches what another says of a device", "telemetry/rounds/merge.py",
         "by_key[(device.node, device.key", "by_key[(None, device.key", f"{BINDING_TESTS} -k prints_the_uuid"),
        (FORGED, "names of rules that targets print are not read", "telemetry/prometheus/adapter.py",
         "return f'{record}{{instance=\"\"}}'", "return record",
         "tests/telemetry/test_prometheus_answers.py -k under_a_rules_name"),
        (FORGED, "only series of the named job and namespace count", "telemetry/prometheus/rules.py",
         "expression) if only else expression", "expression) if False else expression",
         "tests/telemetry/test_prometheus_answers.py -k named_job"),
        (FORGED, "label and readings must name one product", "engine/products.py",
         "if read.keys() == {node.device.gpu.key}:", "if True:", "tests/engine/test_products_agree.py"),
        (INHERITED, "a reading that began before its pod is not the pod's", "telemetry/rounds/binding.py",
         "early = observed - found.interval_seconds < matched.since", "early = observed < -1.0",
         f"{BINDING_TESTS} -k began_before"),
        (INHERITED, "progress begins anew with another uid", "telemetry/store/recent.py",
         "if held is not None and held.identity.pod_uid != reading.pod_uid:", "if False:",
         f"{BINDING_TESTS} -k begins_anew"),
        (INHERITED, "the history of a device is that of a uid", "telemetry/store/recent.py",
         "return device is not None and device.pod_uid in (None, uids.get(key, device.pod_uid))",
         "return device is not None", f"{BINDING_TESTS} -k inherits_nothing"),
        (INHERITED, "an address that changed hands is not believed", "telemetry/sources.py",
         "if not endpoint.current():", "if False:", f"{WEAPON_TESTS} -k changed_hands"),
        (WEAPON, "bodies are read off the loop", "telemetry/sources.py",
         "read, seconds = await work", "read, seconds = await work if False else _timed(endpoint, answer, now)",
         f"{WEAPON_TESTS} -k off_the_loop"),
        (WEAPON, "a small cap a pod", "telemetry/sources.py",
         "Limits(deadline_seconds=3.0, max_body_bytes=256 * 1024, concurrency=64)",
         "Limits(deadline_seconds=3.0, max_body_bytes=4 * 1024 * 1024, concurrency=128)",
         f"{WEAPON_TESTS} -k six_hundred"),
        (WEAPON, "namespaces share places", "telemetry/fair.py",
         "group = min(ready, key=self._under_way.__getitem__)", "group = ready[0]",
         f"{WEAPON_TESTS} -k test_groups_take_turns"),
        (WEAPON, "a namespace over its share waits", "telemetry/fair.py",
         "return size > 0 and seconds > 0", "return True", f"{WEAPON_TESTS} -k over_its_share"),
        (WEAPON, "reading time counts against the share", "telemetry/fair.py",
         "left[1] - seconds)", "left[1])", f"{WEAPON_TESTS} -k reading_time"),
        (WEAPON, "what was left out comes first", "telemetry/sources.py",
         "key=lambda ask: ask.name not in self.names", "key=lambda ask: 0", f"{WEAPON_TESTS} -k left_out"),
        (WEAPON, "whoever was read least is read next", "telemetry/fair.py",
         "chosen = min(self._waiting, key=lambda each: self._spent.get(each[0], 0.0))", "chosen = self._waiting[0]",
         f"{WEAPON_TESTS} -k heap_of_another"),
        (WEAPON, "long labels are not remembered", "telemetry/text/exposition.py",
         "if len(text) <= _LONGEST_KEPT else", "if True else", f"{WEAPON_TESTS} -k long_labels"),
        (WEAPON, "an answer is bounded with all that is sent around it", "telemetry/http_get.py",
         "if len(sent) > most:", "if False:", f"{WEAPON_TESTS} -k sent_around"),
        (LIES, "a total given once a process is refused", "telemetry/pods/progress.py",
         "or not (alike(found.values()) or _of_processes(found)):", "or True:", f"{DECLARED_TESTS} -k once_a_process"),
        (LIES, "copies are seen by their values", "telemetry/pods/progress.py",
         "alike(found.values()) or _of_processes(found)", "_of_processes(found)",
         f"{DECLARED_TESTS} -k by_their_values"),
        (LIES, "a gauge is no counter", "telemetry/pods/progress.py",
         "if not kind.counts:", "if False:", f"{DECLARED_TESTS} -k only_counters"),
        (LIES, "a number that falls again and again is no counter", "observe/progress.py",
         "return len(self.falls) >= MOST_FALLS and", "return False and", f"{RATE_TESTS} -k gauge_is_no_counter"),
        (LIES, "a counter restored higher is a new life", "observe/progress.py",
         "increase > RESTORED * max(rate * seconds, step))", "increase > 1e300)", f"{RATE_TESTS} -k restored_higher"),
        (LIES, "too few readings tell no leap from work", "observe/progress.py",
         "self.moves < USUAL_MOVES)", "False)", f"{RATE_TESTS} -k among_few"),
        (LIES, "a small rollback is a restart", "telemetry/store/progress_ring.py",
         "little = back & _DERIVED &", "little = back &", "tests/telemetry/test_store.py -k however_small"),
        (LIES, "what was left out is said", "observe/assess.py",
         "message=agreement.message or left_out(series.progress, now=now),", "message=agreement.message,",
         "tests/observe/test_assess.py -k restore_is_said"),
        (STEERED, "nodes without GPUs are nodes as well", "cluster/state.py",
         "self._hosts[name] = found\n", "self._hosts[name] = ()\n",
         "tests/controller/test_targets.py -k address_of_any_node"),
        (STEERED, "loopback and link-local addresses are refused", "telemetry/addresses.py",
         "if parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast:",
         "if False:", f"{WEAPON_TESTS} -k test_addresses"),
        (STEERED, "the network of nodes is refused unless allowed", "telemetry/addresses.py",
         "    if host_network:\n", "    if False:\n", f"{WEAPON_TESTS} -k test_addresses"),
        (STEERED, "redirects are not followed", "telemetry/http.py",
         "allow_redirects=False", "allow_redirects=True", "tests/telemetry/test_http_bounds.py -k typed_error"),
        (STEERED, "proxies of the environment are not used", "telemetry/http.py",
         "trust_env=False", "trust_env=True", "tests/telemetry/test_http_bounds.py -k proxy"),
        (FIGURES, "what a summary calls unknown is unknown to the fleet", "engine/fleet.py",
         "best.reference_mfu is None or not believable(plan, best):", "best.reference_mfu is None:",
         "tests/engine/test_untrusted_readings.py -k own_scale"),
        (FIGURES, "no number that leaves is infinite", "units.py",
         "return None if fraction is None or not isfinite(fraction) else", "return None if fraction is None else",
         "tests/engine/test_untrusted_readings.py -k units_say"),
        (FIGURES, "less than half known is no figure", "account/rollup.py",
         "if covered and below > 0", "if below > 0", "tests/engine/test_untrusted_readings.py -k refused"),
        (FIGURES, "a counter that nothing can count to is unknown", "telemetry/store/progress_ring.py",
         "np.abs(raw) <= MOST_COUNTED", "np.abs(raw) <= np.inf", f"{BINDING_TESTS} -k nothing_can_count"),
        (MONEY, "slices are not GPUs", "hardware/slices.py",
         "min(_even(allocatable, told) or allocatable, count or allocatable, MOST_DEVICES)",
         "min(allocatable, MOST_DEVICES)", "tests/engine/test_slices_are_not_gpus.py"),
        (MONEY, "a slice is accused of nothing", "observe/assess.py",
         "    if placement is not None and placement.device.shared:\n", "    if False:\n",
         "tests/engine/test_slices_are_not_gpus.py -k accused"),
        (MONEY, "nobody holds more than is there", "engine/holdings/fleet.py",
         "left.get(place, 0.0))\n", "1e18)\n", "tests/engine/test_slices_are_not_gpus.py -k more_pods"),
        (ODD, "what is no JSON is no answer", "cluster/client.py",
         "except (ValueError, RecursionError) as error:", "except RecursionError as error:",
         f"{ODD_TESTS} -k odd_answer"),
        (ODD, "a watch that fails is taken up before anything is listed", "cluster/informer.py",
         "if failures >= RELIST_AFTER:", "if True:", f"{ODD_TESTS} -k odd_answer_to_a_watch"),
        (ODD, "Retry-After is honoured", "cluster/informer.py",
         "delay = max(delay, min(asked or 0.0, LONGEST_ASKED_SECONDS))", "delay += 0.0 * (asked or 0.0)",
         f"{ODD_TESTS} -k retry_after"),
        (ODD, "lists are projected page by page", "cluster/informer.py",
         "async for page in self._client.pages(self.resource, namespace=self._namespace, **self._selectors):",
         "for page in [p async for p in self._client.pages(self.resource, namespace=self._namespace)]:",
         f"{ODD_TESTS} -k page_by_page"),
        (TURNS, "namespaces share news", "engine/due.py",
         "ranks[view.namespace] += 1", "ranks[view.namespace] += 0", "tests/engine/test_turn.py"),
        (TURNS, "overdue answers have a share of the turns", "engine/due.py",
         "kept = min(sum(age[0] < overdue_before for age, _ in old), most // OLD_SHARE)", "kept = 0",
         "tests/engine/test_turn.py -k overdue"),
        (TURNS, "the text of a conflict is no news", "engine/due.py",
         "(conflict is None) == (claims.conflicts.get(view.key) is None)",
         "conflict == claims.conflicts.get(view.key)", "tests/engine/test_turn.py -k conflict_is_about"),
        (SLOW, "writes that may not be made are counted", "cluster/writer.py",
         "self.counts.skipped += 1", "self.counts.skipped += 0", f"{WRITER_TESTS} -k may_not_be_written"),
        (SLOW, "events wait for the lease", "cluster/writer.py",
         "                self._events.append((body, namespace))\n                return\n", "                pass\n",
         f"{WRITER_TESTS} -k may_not_be_written"),
        (SLOW, "no more than so many writes at once", "cluster/writer.py",
         "asyncio.Semaphore(IN_FLIGHT)", "asyncio.Semaphore(1000)", f"{WRITER_TESTS} -k under_way"),
        (SLOW, "what has no answer yet is written first", "cluster/writer.py",
         "ordered.append((bool(namespace), not each.urgent,", "ordered.append((bool(namespace), True,",
         f"{WRITER_TESTS} -k goes_first"),
        (SLOW, "nothing is told of what went meanwhile", "cluster/writer.py",
         "if each.events and each.key in known)", "if each.events)", f"{WRITER_TESTS} -k went_meanwhile"),
        (PAGE, "the operator's own token is sent to nobody else", "controller/config.py",
         "PurePosixPath(normpath(value)).is_relative_to(API_TOKENS)", "False",
         "tests/controller/test_config.py -k own_token"),
        (PAGE, "tokens are reviewed", "controller/access.py",
         'if review.get("authenticated") is not True', 'if review.get("authenticated") is None',
         "tests/controller/test_server.py -k who_may_read"),
        (PAGE, "access is reviewed", "controller/access.py",
         'return None if access.get("allowed") is True else FORBIDDEN', "return None",
         "tests/controller/test_server.py -k who_may_read"),
        (PAGE, "the page is rendered once for all", "controller/server.py",
         "if known is None or now - known[1] >= PAGE_SECONDS:", "if True:",
         "tests/controller/test_server.py -k one_rendering"),
        (PAGE, "few may read at once", "controller/server.py",
         "asyncio.Semaphore(READERS)", "asyncio.Semaphore(1000)", "tests/controller/test_server.py -k hold_places"),
        (PAGE, "single workloads appear as their policy asks", "controller/metrics.py",
         "if each.policy.per_workload is not PerWorkload.NONE]", "if True]",
         "tests/controller/test_metrics.py -k policy_asks"),
    )
)  # fmt: skip
