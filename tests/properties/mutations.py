"""Small changes of the source that each break one line of the safety list, and the test that must notice.

``test_safety_mutations.py`` applies them, one by one, to a copy of the source. *old* stands in its file exactly once;
a change of the source that moves it makes the quick part of that test fail, and then the entry is brought up to date.
"""

from __future__ import annotations

from typing import Final

import msgspec

_ROAD: Final = "test_safety_live.py"
_POSITIONS: Final = "test_safety_live_positions.py"
_LIMITS: Final = "test_safety_live_limits.py"
_HEALTH: Final = "test_safety_live_health.py"
_HALTS: Final = "test_safety_live_halts.py"
_FILES: Final = {
    1: _ROAD, 2: _ROAD, 3: _ROAD, 4: _ROAD, 5: _ROAD, 6: _POSITIONS, 7: _POSITIONS, 8: _POSITIONS, 9: _POSITIONS,
    10: _LIMITS, 11: _LIMITS, 12: _LIMITS, 13: _HEALTH, 14: _HEALTH, 15: _HALTS, 16: _HALTS,
}


class Mutation(msgspec.Struct, frozen=True):
    """One change: in *file* (below the package) *old* becomes *new*, and *test* of the line's file must fail."""

    line: int
    file: str
    old: str
    new: str
    test: str
    among: str = ""  # file of the test; empty: that of the line

    @property
    def name(self) -> str:
        """A name for people: the line, the test and where it was broken."""
        return f"{self.test}-{self.file}"

    @property
    def test_file(self) -> str:
        """The file that holds the test."""
        return self.among or _FILES[self.line]


_KEEPER = "live/leverage.py"
_CORE, _ACCOUNT, _ADOPTING, _FILLS = "engine/core.py", "engine/account.py", "engine/adopting.py", "engine/fills.py"
_OPENING, _PROTECTION, _HALTED = "engine/opening.py", "engine/protection.py", "engine/halts.py"
_MARKET, _DRIVER = "engine/market.py", "live/driver.py"
_SENDING, _RECONCILING, _HEALTH_CHECK = "live/sending.py", "live/reconciling.py", "live/health.py"
_STARTING, _BARS = "live/starting.py", "live/bars.py"
_GATEWAY, _SESSION, _ADAPTER = "engine/gateway.py", "live/session.py", "venues/binance/adapter.py"
_SETTINGS, _STATUS, _ORDERS = "app/runs/live_settings.py", "app/runs/status.py", "venues/binance/orders.py"
_DERIVED = 'hashlib.blake2b(f"{intent_id}/{purpose}/{attempt}".encode(), digest_size=10)'
_REMEMBERED = '("losses", "governor", "rate")'
_PILOTING, _PILOT = "engine/piloting.py", "test_safety_live_pilot.py"
_HALTS_KEPT = 'self.in_force = dict(state["in_force"])'

MUTATIONS: Final = (
    # 1. One mode; keys belong to an endpoint.
    Mutation(1, _SETTINGS, 'HALT = "halt"\n', 'HALT = "halt"\n    DRY = "DRY"\n', "test_1_there_is_one_mode_enum"),
    Mutation(
        1, _SETTINGS, "self.mode is LiveMode.LIVE and self.confirm_live != CONFIRMATION", "False",
        "test_1_contradicting_settings_stop_the_start",
    ),
    Mutation(
        1, _SETTINGS, 'self.endpoint not in ("", wanted)', "False", "test_1_contradicting_settings_stop_the_start"
    ),
    Mutation(
        1, "venues/binance/keys.py", "if endpoint != self.endpoint:", "if False:",
        "test_1_keys_work_at_their_endpoint_alone",
    ),
    Mutation(
        1, "app/cli/live.py", "key=keys.masked", "key=keys.key.reveal()",
        "test_1_the_start_says_where_with_which_key_masked",
    ),
    # 2. Brackets from the fill price.
    Mutation(
        2, _FILLS, "self._protection.bracket(position, position.entry_price, fill.ts_ns)",
        "self._protection.bracket(position, self._market.close(position.index), fill.ts_ns)",
        "test_2_brackets_lie_around_the_fill_on_the_tick",
    ),
    Mutation(
        2, _PROTECTION, "plan.sign, price, plan.atr, plan.stop_atr", "1, price, plan.atr, plan.stop_atr",
        "test_2_brackets_lie_around_the_fill_on_the_tick",
    ),
    Mutation(
        2, _PROTECTION, "self._instruments[position.index].tick_size, self.liquidation_price(position),",
        "self._instruments[position.index].tick_size, 0.0,",
        "test_2_a_stop_lies_before_the_liquidation",
    ),
    Mutation(
        2, _PROTECTION, "if stop != stop:  # not a number", "if False:  # not a number",
        "test_2_a_position_that_can_have_no_bracket_is_closed",
    ),
    # 3. Only fills move books.
    Mutation(
        3, _CORE, "ticket, retired = self.gateway.on_update(update, held.qty if held is not None else 0.0)\n",
        "ticket, retired = self.gateway.on_update(update, held.qty if held is not None else 0.0)\n"
        "        self.account.books.cash -= 0.05 * update.filled_qty\n",
        "test_3_an_acknowledgement_is_not_a_fill",
    ),
    Mutation(
        3, "engine/books.py", "net_pnl(position.realised, position.fees, position.funding)",
        "net_pnl(position.realised, position.fees, 0.0)", "test_3_profit_comes_from_fills_fees_and_funding",
    ),
    Mutation(
        3, "engine/books.py", "        position.fees += fill.fee\n        position.closed_value",
        "        position.closed_value", "test_3_the_books_money_is_the_exchanges",
    ),
    # 4. One gateway; one intent, one order.
    Mutation(
        4, "live/intents.py", "class TradeIntentSubscriber:",
        "def _shortcut(venue: Any, order: Any) -> Any:\n    return venue.submit_order(order)\n\n\n"
        "class TradeIntentSubscriber:",
        "test_4_one_gateway_makes_orders_and_one_driver_sends_them",
    ),
    Mutation(
        4, _GATEWAY, "if intent.intent_id in self._claimed:", "if False:",
        "test_4_a_claimed_intent_has_no_second_order_and_only_approved_ones_have_any",
    ),
    Mutation(
        4, "engine/ids.py", _DERIVED, _DERIVED.replace('f"', "f\"{__import__('os').urandom(4)!r}"),
        "test_4_the_client_order_id_is_derived_from_the_intent",
    ),
    Mutation(
        4, _CORE, "self.gateway.take_over(process)", 'self.gateway.take_over("")',
        "test_4_a_restored_folder_derives_no_id_again",
    ),
    Mutation(
        4, _OPENING, "if self._gateway.is_claimed(intent.intent_id):", "if False:",
        "test_4_the_same_intent_twice_is_one_order",
    ),
    Mutation(
        4, _SESSION, "self.log.append(encode_input(event))",
        "isinstance(event, IntentReceived) or self.log.append(encode_input(event))",
        "test_4_a_claim_is_on_disk_before_its_order_leaves",
    ),
    Mutation(
        4, _SESSION,
        "        for entry in entries:\n            self.replay(decode_input(entry))\n        self.finish_bars()\n"
        "        self._unsent = []\n",
        "        self._unsent = [one for entry in entries for one in self.replay(decode_input(entry))]\n",
        "test_4_a_claimed_intent_is_never_sent_again_by_another_process",
    ),
    Mutation(
        4, _GATEWAY, 'self._claimed = dict(state["claimed"])', "self._claimed = {}",
        "test_4_a_claim_survives_a_checkpoint",
    ),
    # 5. A timeout is not a rejection.
    Mutation(
        5, _SENDING, 'context.counts["unknown"] += 1\n', 'context.counts["unknown"] += 1\n                continue\n',
        "test_5_an_order_without_an_answer_is_asked_for_before_anything_else",
    ),
    Mutation(
        5, _SENDING, "if asked - since > context.venue.receive_window_s:", "if True:",
        "test_5_not_found_proves_absence_only_after_the_receive_window",
    ),
    Mutation(
        5, _SENDING, "                if asked - since > context.venue.receive_window_s:", "                if asked:",
        "test_5_an_order_that_arrives_late_is_found_and_protected",
    ),
    Mutation(
        5, _SENDING, "                if known is None or known.over:\n                    return",
        "                if known is not None:\n                    self._report(_rejected(request, '', 0))\n"
        "                    return",
        "test_5_a_cancel_without_an_answer_is_no_cancel",
    ),
    Mutation(
        5, "venues/binance/errors.py", "frozenset({-1000, -1006, -1007})", "frozenset({-1000, -1006})",
        "test_5_the_adapter_tells_a_timeout_from_a_refusal",
    ),
    Mutation(
        5, "app/runs/flatten.py", "late = self._now_ns() - sent_ns > self._venue.receive_window_s * NS_PER_SECOND",
        "late = True", "test_5_flatten_of_a_dead_process_asks_too",
    ),
    # 6. A stop at the venue for every position.
    Mutation(
        6, _GATEWAY,
        "commands: list[Command] = [self._resting(position, Purpose.STOP, position.stop, now_ns)]",
        "commands: list[Command] = []",
        "test_6_every_position_has_a_stop_resting_at_the_venue",
    ),
    Mutation(
        6, _RECONCILING, "for symbol, order_id in engine.reconciler.missing_orders():", "for symbol, order_id in ():",
        "test_6_a_stop_that_is_gone_is_missed_and_replaced",
    ),
    Mutation(
        6, _CORE, "return self.protection.stop_refused(position, update)", "return []",
        "test_6_a_position_whose_stop_cannot_be_placed_is_closed",
    ),
    Mutation(
        6, _PROTECTION,
        "            return self.close(position, position.exit_reason or ExitReason.UNPROTECTED, now_ns)",
        "            position.exit_reason = ExitReason.UNPROTECTED\n"
        "            return self._records.outgoing(self._gateway.cancel_openings(now_ns, position.symbol))",
        "test_6_without_stops_the_account_ends_flat",
    ),
    Mutation(
        6, _PROTECTION, "_LOST_STOPS: Final = 3", "_LOST_STOPS: Final = 30",
        "test_6_a_stop_that_never_arrives_is_sent_again_and_then_the_position_is_closed",
    ),
    Mutation(
        6, _GATEWAY, "return [self._resting(position, Purpose.STOP, position.stop, now_ns)]",
        "return [*self.cancel_all(position.symbol, now_ns), "
        "self._resting(position, Purpose.STOP, position.stop, now_ns)]",
        "test_6_a_stop_is_moved_by_placing_the_new_one_first",
    ),
    Mutation(
        6, _PROTECTION, "if update.reason.startswith(Rejection.WOULD_TRIGGER.value):", "if False:",
        "test_6_a_moved_stop_that_would_trigger_closes_the_position",
    ),
    Mutation(
        6, _PROTECTION, "        position.stop = resting\n", "",
        "test_6_a_moved_stop_refused_for_another_reason_leaves_the_old_one",
    ),
    Mutation(
        6, _ORDERS, '"workingType": trigger_on', '"workingType": "CONTRACT_PRICE"',
        "test_6_stops_have_a_quantity_and_say_what_they_watch",
    ),
    Mutation(
        6, "venues/local/checks.py", "raise VenueApiError(-4130)", "return",
        "test_6_the_venue_refuses_a_second_close_position_stop_and_takes_quantity_stops",
    ),
    Mutation(
        6, "venues/local/checks.py", "raise VenueApiError(-2021)", "return",
        "test_6_the_venue_refuses_a_stop_that_would_trigger",
    ),
    # 7. Leverage is read back.
    Mutation(
        7, _KEEPER, "if (held := self._held[symbol][0]) != wanted:",
        "if (held := self._held[symbol][0]) != held:",
        "test_7_a_leverage_that_reads_back_otherwise_refuses_the_trade",
    ),
    Mutation(
        7, "live/listening.py", "self._leverages.note(event.symbol, event.leverage)", "pass",
        "test_7_a_leverage_that_somebody_changed_is_set_again[True]",
    ),
    Mutation(
        7, _KEEPER, "return held == wanted and asyncio.get_running_loop().time() - read_s <= self._timing.leverage_s",
        "return held == wanted", "test_7_a_leverage_that_somebody_changed_is_set_again[False]",
    ),
    Mutation(
        7, _ADAPTER, "        return self._leverage[symbol]\n", "        return leverage\n",
        "test_7_the_adapter_answers_what_is_in_force",
    ),
    # 8. The venue is the truth.
    Mutation(
        8, _STARTING, "        while not await self._reconciling.compare():\n", "        while False:\n",
        "test_8_books_are_compared_before_anything_is_traded",
    ),
    Mutation(
        8, _RECONCILING, "wait = timing.reconcile_s if agreed", "wait = 5.0 * timing.reconcile_s if agreed",
        "test_8_books_are_compared_every_minute",
    ),
    Mutation(
        8, _ADOPTING, '        self._records.record("reconciliation.difference", "", now_ns, difference)\n', "",
        "test_8_what_nobody_explains_halts_openings_and_is_journaled",
    ),
    Mutation(
        8, _ADOPTING, "elif not self._quietly:", "elif False:",
        "test_8_a_trade_by_hand_halts_where_the_settings_say_so",
    ),
    Mutation(
        8, "engine/money.py", "if not abs(wallet - before) <= self._wallet_halt_share * max(abs(before), 1.0):",
        "if False:", "test_8_an_unexplained_wallet_halts_and_is_journaled",
    ),
    Mutation(
        8, "engine/opening_orders.py", "return len(held) + len(apart)",
        "return self._records.tally.intents - len(self._records.tally.trades)",
        "test_8_counts_are_derived",
    ),
    # 9. Reducing is never gated.
    Mutation(
        9, _OPENING, "        if intent.reduce_only:\n",
        "        if intent.reduce_only and not self._halts.operator_halt:\n",
        "test_9_reducing_passes_everything_that_stops_openings[intent]",
    ),
    Mutation(
        9, _PROTECTION, "        self._halts.flattening = True\n",
        "        self._halts.flattening = True\n        if not self._halts.inputs_written:\n            return []\n",
        "test_9_reducing_passes_everything_that_stops_openings[flatten]",
    ),
    Mutation(
        9, _PROTECTION,
        "            commands += self._records.outgoing(self._gateway.close(position, now_ns))\n        return",
        "            return commands + self._records.outgoing(self._gateway.close(position, now_ns))\n        return",
        "test_9_flatten_closes_everything_and_cancels_the_rest",
    ),
    Mutation(
        9, _PROTECTION, "if self._halts.flattening:", "if False:",
        "test_9_what_fills_after_a_flatten_is_closed_as_well",
    ),
    Mutation(
        9, _DRIVER, "        requests = self._operator()\n",
        "        requests = self._operator() if self.context.ready else []\n",
        "test_9_flatten_does_not_wait_for_a_start",
    ),
    Mutation(
        9, _ADAPTER, "priority=Priority.REDUCING if request.reduce_only else Priority.OPENING",
        "priority=Priority.OPENING", "test_9_reducing_is_rate_limited_last",
    ),
    Mutation(
        9, "app/runs/direct.py", "    except StateError as error:\n        return str(error)\n",
        "    except StateError as error:\n        raise\n",
        "test_9_a_dead_process_is_flattened_from_outside_even_on_a_full_disk",
    ),
    Mutation(
        9, _ADOPTING, "        if self._halts.flattening:\n", "        if False:\n",
        "test_9_flatten_cancels_what_others_left_resting",
    ),
    # 10. Unknown makes safer.
    Mutation(
        10, _MARKET, "return bool(self._ticks[index, TICK_HALTED_SINCE] >= 0.0)",
        "return bool(self._ticks[index, 0] > 0.0)",
        "test_10_one_bad_bar_halts_nothing_three_in_a_row_do_and_three_good_ones_end_it",
    ),
    Mutation(
        10, "live/intents.py", "not (math.isfinite(value) and value > 0.0)", "value <= 0.0",
        "test_10_an_unknown_number_in_an_intent_refuses_it",
    ),
    Mutation(
        10, "engine/books.py", "        total = self.cash\n",
        "        total = self.cash if self.cash == self.cash else 10_000.0\n",
        "test_10_unknown_equity_is_defensive_at_once_and_an_emergency_at_the_third_bar",
    ),
    Mutation(
        10, _OPENING, "data_ns = min(now_ns, self._market.now_ns + self._market.interval_ns)", "data_ns = now_ns",
        "test_10_late_and_missing_bars_open_nothing",
    ),
    Mutation(
        10, _OPENING, "data_ns=data_ns - self._market.late_ns - int(", "data_ns=data_ns - int(",
        "test_10_late_and_missing_bars_open_nothing",
    ),
    Mutation(
        10, _HEALTH_CHECK, "time_is_certain = abs(offset) < FOLLOW_MS and", "time_is_certain =",
        "test_10_while_the_clocks_disagree_nothing_opens",
    ),
    Mutation(
        10, _BARS, "if bar.ts_ns + self._interval > self.context.clock.now_ns() + _FUTURE_NS:", "if False:",
        "test_10_a_bar_from_the_future_is_no_bar",
    ),
    Mutation(
        10, _HALTED, "self.health, self.connected = level, connected\n", "self.health = level\n",
        "test_10_without_a_connection_nothing_opens",
    ),
    Mutation(
        10, "risk/guard.py", "if not math.isfinite(account_row[index]):", "if math.isinf(account_row[index]):",
        "test_10_money_that_is_no_number_opens_nothing",
    ),
    Mutation(
        10, "engine/policy_in_force.py", "            slots.out[:, pol.OUT_ALLOW] = 0.0\n            return\n",
        "            return\n",
        "test_10_a_policy_that_fails_allows_nothing",
    ),
    Mutation(
        10, "engine/reconciliation.py", "not abs(snapshot.wallet - cash) <= WALLET_CENT",
        "abs(snapshot.wallet - cash) > WALLET_CENT",
        "test_10_a_look_that_tells_no_number_is_not_agreement[wallet]",
    ),
    Mutation(
        10, "engine/reconciliation.py",
        "return abs(one - other) <= _SAME * max(abs(one), abs(other))",
        "return not abs(one - other) > _SAME * max(abs(one), abs(other))",
        "test_10_a_look_that_tells_no_number_is_not_agreement[position]",
    ),
    Mutation(
        10, _MARKET, "rate_8h if math.isfinite(rate_8h) else math.inf", "rate_8h",
        "test_10_an_unknown_funding_rate_opens_nothing",
    ),
    # 11. Restarts and midnight.
    *(
        Mutation(11, file, old, new, f"test_11_it_survives_a_restart_and_midnight[checkpoint-{name}]")
        for name, file, old, new in (
            ("operator", _HALTED, _HALTS_KEPT, f"{_HALTS_KEPT}\n        self.in_force.pop(OPERATOR, None)"),
            ("difference", _HALTED, _HALTS_KEPT, f"{_HALTS_KEPT}\n        self.in_force.pop(RECONCILIATION, None)"),
            ("governor", _ACCOUNT, _REMEMBERED, '("losses", "rate")'),
            ("connection", _HALTED, 'state["flattening"], state["connected"],', 'state["flattening"], True,'),
            ("daily loss", _ACCOUNT, _REMEMBERED, '("governor", "rate")'),
            (
                "bad bars", _MARKET, 'self._ticks[...], self.regimes[...] = state["ticks"], state["regimes"]',
                'self.regimes[...] = state["regimes"]',
            ),
            ("order rate", _ACCOUNT, _REMEMBERED, '("losses", "governor")'),
        )
    ),
    Mutation(
        11, _CORE, "        self.records.bars = (batch, received_ns)\n",
        "        self.records.bars = (batch, received_ns)\n        if batch.ts_ns % 86_400_000_000_000 == 0:\n"
        "            self.halts.in_force.clear()\n",
        "test_11_it_survives_a_restart_and_midnight[checkpoint-operator]",
    ),
    Mutation(
        11, _SESSION, "        for entry in entries:\n            self.replay(decode_input(entry))",
        "        for entry in ():\n            self.replay(decode_input(entry))",
        "test_11_it_survives_a_restart_and_midnight[inputs-operator]",
    ),
    Mutation(
        11, "engine/books.py",
        '        self.lost_r = float(state["lost_r"] if "lost_r" in state else state["losing_streak"])\n', "",
        "test_11_a_losing_streak_goes_on_over_midnight",
    ),
    Mutation(
        11, "app/runs/state_dir.py", "            if damaged:\n", "            if False:\n",
        "test_11_a_state_that_cannot_be_read_is_not_an_empty_past",
    ),
    # 12. A gate's inputs cannot be rewritten.
    Mutation(
        12, "live/inputs.py", "class FundingRateReceived(msgspec.Struct, frozen=True,",
        "class FundingRateReceived(msgspec.Struct,",
        "test_12_what_was_told_cannot_be_changed",
    ),
    Mutation(
        12, _OPENING, "self._account.equity, used.risk_pct, self.risk_factor(index),",
        "self._account.equity, intent.risk_pct, self.risk_factor(index),", "test_12_an_intents_numbers_loosen_nothing",
    ),
    Mutation(
        12, _OPENING, "        row, used = self._market.row(index), self._policy.used(index)\n",
        "        row, used = self._market.row(index), self._policy.integration.fixed_settings(1)\n",
        "test_12_an_intent_meets_the_policy_in_force",
    ),
    Mutation(
        12, _OPENING, "intent.side.sign, intent.confidence, row[col.ATR_1H], used",
        "intent.side.sign, intent.confidence, 1.0, used", "test_12_what_is_not_learnt_yet_may_not_trade",
    ),
    Mutation(
        12, "live/intents.py", '("intent_id", "trace_id", "symbol", "source")', '("intent_id", "trace_id", "symbol")',
        "test_12_an_intent_without_a_name_is_refused",
    ),
    Mutation(
        12, "signals/kernel.py", 'if not np.array_equal(state["params"], self.params):', "if False:",
        "test_12_signals_learnt_under_other_settings_are_not_taken_over",
    ),
    # 13. Health means progress.
    Mutation(
        13, _STARTING, 'self.waits_for = "the first comparison with the venue"', "pass",
        "test_13_a_start_that_is_stuck_says_on_what",
    ),
    Mutation(
        13, _BARS, "if quiet and self.lag_s() > self.context.timing.bar_wait_s:", "if False:",
        "test_13_a_silent_stream_is_asked_for_its_bars",
    ),
    Mutation(
        13, _HEALTH_CHECK, "health_level(lag, float(not lost)", "health_level(0.0, float(not lost)",
        "test_13_bars_that_are_overdue_raise_the_governor",
    ),
    Mutation(
        13, _HEALTH_CHECK, "GOV_EMERGENCY if critical else 0", "0",
        "test_13_a_queue_that_fills_raises_the_governor[queue1-3]",
    ),
    Mutation(
        13, "engine/reconciliation.py", "self.since_ns = (self.since_ns or ts_ns) if serious or unseen else 0",
        "self.since_ns = 0", "test_13_a_difference_that_lasts_is_told_with_its_age",
    ),
    Mutation(
        13, _HEALTH_CHECK, 'connected = up["market"] and up["user"] and time_is_certain',
        'connected = up["market"] and time_is_certain',
        "test_13_a_lost_account_stream_is_told_and_raises_the_governor",
    ),
    Mutation(
        13, _CORE, "self.last_event_ns = max(self.last_event_ns, event.ts_ns)", "pass",
        "test_13_the_last_event_and_every_tick_are_told",
    ),
    Mutation(
        13, _STATUS, "(silent_s > max(_SILENT_WRITES * live.every_s, _SILENT_S),", "(False,",
        "test_13_process_up_is_not_health",
    ),
    Mutation(
        13, _HEALTH_CHECK,
        "return compared_s if self.context.ready and compared_s > 2.0 * self.context.timing.reconcile_s else 0.0",
        "return 0.0", "test_13_an_account_that_cannot_be_read_is_not_reconciled",
    ),
    Mutation(13, _STATUS, '(live.stage == "starting" and', "(False and", "test_13_a_start_that_is_stuck_is_a_problem"),
    # 14. Counted, shown, alarmed.
    Mutation(
        14, "app/runs/journal_sink.py", "        if self.waiting >= self._most:\n            self.lost += 1\n",
        "        if self.waiting >= self._most:\n",
        "test_14_records_that_cannot_be_written_are_counted_and_stop_openings",
    ),
    Mutation(14, _STATUS, "(live.dropped_events > 0,", "(False,", "test_14_what_was_lost_is_alarmed"),
    Mutation(
        14, "app/runs/input_log.py", "if os.write(self._descriptor, block) != len(block):",
        "if not os.write(self._descriptor, block):", "test_14_a_batch_that_failed_is_not_counted_as_written",
    ),
    Mutation(
        14, _SESSION, "            self.engine.halts.inputs_written = False\n            return False",
        "            return False",
        "test_14_a_checkpoint_that_failed_is_not_counted_as_saved",
    ),
    Mutation(
        14, _SESSION, "            self.unwritten_inputs += 1\n", "",
        "test_14_an_input_that_could_not_be_written_is_counted_and_stops_openings",
    ),
    Mutation(
        14, "live/account.py", "        for fill in fills:\n", "        for fill in fills[:0]:\n",
        "test_14_a_lost_message_of_the_account_is_made_up_for",
    ),
    Mutation(
        14, "app/runs/journal_sink.py", 'self.lost += 1\n            self.trouble = f"a record',
        'self.trouble = f"a record',
        "test_14_a_decision_from_its_future_is_lost_and_counted",
    ),
    *(
        Mutation(14, "app/runs/live.py", old, "0", f"test_14_what_was_lost_is_shown[{what}]")
        for what, old in (
            ("records", "self.records.lost"), ("inputs", "self.session.unwritten_inputs"),
            ("frames", 'health.counts.get("Unreadable", 0)'),
        )
    ),
    # 15. Every halt ends.
    Mutation(
        15, _MARKET, "if not self.is_halted(index):\n                self._halted.discard(index)",
        "if False:\n                self._halted.discard(index)",
        "test_15_a_symbol_halted_by_bad_bars_is_a_halt_like_any_other",
    ),
    Mutation(
        15, _HALTED, "for kind in (RECONCILIATION, OPERATOR):", "for kind in (RECONCILIATION,):",
        "test_15_a_halt_names_its_way_out_and_that_way_works[operator]",
    ),
    Mutation(
        15, _HALTED, "        self.flattening = False\n        for kind", "        for kind",
        "test_15_a_flatten_ends_with_resume",
    ),
    Mutation(
        15, _SESSION, 'self.shield.run(engine.halt, f"the engine failed on {what}: {reason}", now_ns)', "pass",
        "test_15_a_halt_names_its_way_out_and_that_way_works[input]",
    ),
    Mutation(
        15, _HALTED, "for kind in (RECONCILIATION, OPERATOR):", "for kind in (OPERATOR,):",
        "test_15_a_halt_names_its_way_out_and_that_way_works[reconciliation]",
    ),
    Mutation(
        15, _HALTED, 'path = "resume --reason" if level == GOV_EMERGENCY else "recovers by itself"', 'path = ""',
        "test_15_a_halt_names_its_way_out_and_that_way_works[health]",
    ),
    Mutation(
        15, _HALTED, '            self.end(GOVERNOR, f"resumed: {reason}", now_ns, level)\n', "            pass\n",
        "test_15_a_halt_names_its_way_out_and_that_way_works[streak]",
    ),
    Mutation(
        15, _HALTED,
        "if governor_resume(self._account.governor, self._account.equity, now_ns // NS_PER_SECOND):", "if False:",
        "test_15_a_drawdowns_emergency_ends_by_resume",
    ),
    Mutation(
        15, _CORE, "if level != level_before:", "if level > level_before:",
        "test_15_milder_levels_end_by_themselves",
    ),
    Mutation(
        15, _HALTED, '            self.end(DAILY_LOSS, "losses inside the limit", now_ns)', "            pass",
        "test_15_the_daily_loss_ends_at_a_midnight_with_losses_inside_the_limit",
    ),
    Mutation(
        15, _HALTED, "        streak = books.losing_streak\n        books.break_streak()\n",
        "        streak = books.losing_streak\n", "test_15_a_losing_streak_is_ended_by_resume",
    ),
    Mutation(
        15, "live/checkpoints.py", "elif now_s - self._tried_s >= self._wait_s:\n", "elif False:\n",
        "test_15_what_could_not_be_written_ends_with_the_next_checkpoint",
    ),
    Mutation(
        15, "app/runs/operator_requests.py", "if not request.reason.strip():", "if False:",
        "test_15_a_resume_and_a_halt_need_a_reason",
    ),
    Mutation(15, "app/runs/live.py", "notes=self._notes()", "notes=()", "test_15_what_could_not_be_written_is_shown"),
    # 16. Keys and files.
    Mutation(
        16, "venues/binance/safety.py", "if rights.enable_withdrawals:", "if False:",
        "test_16_a_key_that_may_withdraw_is_refused",
    ),
    Mutation(
        16, "venues/binance/safety.py", "        if rest.endpoint.recorded:\n", "        if True:\n",
        "test_16_a_real_key_whose_rights_are_not_told_is_refused",
    ),
    Mutation(
        16, "venues/binance/endpoints.py", "if known is not None and mine != known:", "if False:",
        "test_16_real_keys_never_go_to_another_address",
    ),
    Mutation(
        16, "venues/binance/endpoints.py", "    if not inside:\n", "    if False:\n",
        "test_16_the_local_endpoint_stays_on_this_machine[http://10.0.0.1:80]",
    ),
    Mutation(
        16, "venues/binance/rest.py", "allow_redirects=False", "allow_redirects=True",
        "test_16_a_key_follows_no_redirect_and_no_proxy",
    ),
    Mutation(
        16, "venues/binance/rest.py", "trust_env=False", "trust_env=True",
        "test_16_a_key_follows_no_redirect_and_no_proxy",
    ),
    Mutation(
        16, "venues/binance/keys.py", "if endpoint != self.endpoint:", "if False:",
        "test_16_the_keys_are_those_of_the_endpoint",
    ),
    Mutation(
        9, _ADOPTING, "if self._gateway.ticket(order.client_order_id) is None\n", "if False\n",
        "test_9_flatten_cancels_what_others_left_resting",
    ),
    Mutation(
        10, "engine/reconciliation.py", "not abs(snapshot.wallet - cash) <= WALLET_CENT:",
        "abs(snapshot.wallet - cash) > WALLET_CENT:", "test_10_a_look_that_tells_no_number_is_not_agreement",
    ),
    Mutation(
        13, _HEALTH_CHECK, "return compared_s if self.context.ready and", "return 0.0 if self.context.ready and",
        "test_13_an_account_that_cannot_be_read_is_not_reconciled",
    ),
    Mutation(
        16, "app/runs/state_dir.py", "        os.umask(_PRIVATE_UMASK)", "        _ = (_PRIVATE_UMASK)",
        "test_16_state_files_are_private",
    ),
    Mutation(
        16, "domain/private_files.py", "flags | _NO_FOLLOW | _NO_BLOCK, PRIVATE)",
        "flags | _NO_FOLLOW | _NO_BLOCK, 0o644)", "test_16_state_files_are_private",
    ),
    # The pilot.
    Mutation(
        4, _PILOTING,
        "        self._intents += 1  # also where it is refused: a refusal on record has an id of its own\n"
        "        number = self._intents\n", "        number = self._intents + 1\n",
        "test_4_every_intent_of_the_pilot_has_an_id_of_its_own", _PILOT,
    ),
    Mutation(
        9, _PILOTING, "        if wanted * held <= 0.0 and position is not None:",
        "        if not self.stance.settings.max_trades_per_hour:\n            return _RATE, \"\"\n"
        "        if wanted * held <= 0.0 and position is not None:",
        "test_9_the_pilot_closes_whatever_stops_its_openings", _PILOT,
    ),
    Mutation(
        9, _PILOTING, "            commands += self.leave_all()\n", "",
        "test_9_a_pilot_that_may_not_trade_leaves_its_positions", _PILOT,
    ),
    Mutation(
        10, _PILOTING, "if mode is PilotMode.OFF or self._market.is_past:", "if mode is PilotMode.OFF:",
        "test_10_the_pilot_decides_on_no_late_bars", _PILOT,
    ),
    Mutation(
        11, _PILOTING, 'list(state["opened_ns"])', "[]", "test_11_the_pilots_hourly_limit_survives_a_restart", _PILOT,
    ),
    Mutation(
        12, _OPENING, "        verdict = judged(intent, decision[4:])\n",
        "        verdict = judged(intent, (0, decision.wanted, 0.0, 0.0))\n",
        "test_12_the_pilots_intent_meets_the_guard", _PILOT,
    ),
    Mutation(
        12, _PILOTING, "            if mode in TRADES:\n                stop",
        "            if True:\n                stop", "test_12_a_pilot_in_shadow_sends_nothing", _PILOT,
    ),
    Mutation(
        12, "pilot/predictor.py", 'if state["identity"] != self.identity:', "if False:",
        "test_12_another_model_does_not_take_over", _PILOT,
    ),
    Mutation(
        12, "pilot/observer.py", "        self.scalers.check_features(self.settings)\n", "",
        "test_12_a_model_of_other_features_may_not_decide", _PILOT,
    ),
    Mutation(
        12, _PILOTING,
        "        check_predictions(found, len(self._instruments.symbols), ts_ns + self._interval_ns)\n", "",
        "test_12_an_answer_that_makes_no_sense_trades_nothing", _PILOT,
    ),
)
