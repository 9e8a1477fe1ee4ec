"""The error codes of Binance's USD-M documentation that the adapter or the local venue use: name and text.

Page: https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code, and General Info for -1008; a
``%s`` is a value. "Codes are universal, but messages can vary", says the page: SEEN are texts of the real venue.
"""

from __future__ import annotations

from typing import Final

DOCUMENTED: Final = {
    -1000: ("UNKNOWN", "An unknown error occured while processing the request."),
    -1001: ("DISCONNECTED", "Internal error; unable to process your request. Please try again."),
    -1002: ("UNAUTHORIZED", "You are not authorized to execute this request."),
    -1003: ("TOO_MANY_REQUESTS", "Too many requests; current limit is %s requests per minute. "
            "Please use the websocket for live updates to avoid polling the API."),
    -1006: ("UNEXPECTED_RESP", "An unexpected response was received from the message bus. Execution status unknown."),
    -1007: ("TIMEOUT", "Timeout waiting for response from backend server. "
            "Send status unknown; execution status unknown."),
    -1008: ("", "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. "
            "Please try again."),
    -1015: ("TOO_MANY_ORDERS", "Too many new orders; current limit is %s orders per %s."),
    -1016: ("SERVICE_SHUTTING_DOWN", "This service is no longer available."),
    -1020: ("UNSUPPORTED_OPERATION", "This operation is not supported."),
    -1021: ("INVALID_TIMESTAMP", "Timestamp for this request is outside of the recvWindow."),
    -1022: ("INVALID_SIGNATURE", "Signature for this request is not valid."),
    -1100: ("ILLEGAL_CHARS", "Illegal characters found in parameter '%s'; legal range is '%s'."),
    -1102: ("MANDATORY_PARAM_EMPTY_OR_MALFORMED",
            "Mandatory parameter '%s' was not sent, was empty/null, or malformed."),
    -1106: ("PARAM_NOT_REQUIRED", "Parameter '%s' sent when not required."),
    -1111: ("BAD_PRECISION", "Precision is over the maximum defined for this asset."),
    -1115: ("INVALID_TIF", "Invalid timeInForce."),
    -1116: ("INVALID_ORDER_TYPE", "Invalid orderType."),
    -1117: ("INVALID_SIDE", "Invalid side."),
    -1120: ("BAD_INTERVAL", "Invalid interval."),
    -1121: ("BAD_SYMBOL", "Invalid symbol."),
    -1122: ("INVALID_SYMBOL_STATUS", "Invalid symbol status."),
    -1125: ("INVALID_LISTEN_KEY",
            "This listenKey does not exist. Please use POST /fapi/v1/listenKey to recreate listenKey"),
    -1130: ("INVALID_PARAMETER", "Data sent for parameter '%s' is not valid."),
    -2011: ("CANCEL_REJECTED", "CANCEL_REJECTED"),
    -2013: ("NO_SUCH_ORDER", "Order does not exist."),
    -2014: ("BAD_API_KEY_FMT", "API-key format invalid."),
    -2015: ("REJECTED_MBX_KEY", "Invalid API-key, IP, or permissions for action."),
    -2019: ("MARGIN_NOT_SUFFICIEN", "Margin is insufficient."),
    -2021: ("ORDER_WOULD_IMMEDIATELY_TRIGGER", "Order would immediately trigger."),
    -2022: ("REDUCE_ONLY_REJECT", "ReduceOnly Order is rejected."),
    -2025: ("MAX_OPEN_ORDER_EXCEEDED", "Reach max open order limit."),
    -2027: ("MAX_LEVERAGE_RATIO", "Exceeded the maximum allowable position at current leverage."),
    -2028: ("MIN_LEVERAGE_RATIO", "Leverage is smaller than permitted: insufficient margin balance."),
    -4003: ("QTY_LESS_THAN_ZERO", "Quantity less than zero."),
    -4004: ("QTY_LESS_THAN_MIN_QTY", "Quantity less than min quantity."),
    -4005: ("QTY_GREATER_THAN_MAX_QTY", "Quantity greater than max quantity."),
    -4013: ("PRICE_LESS_THAN_MIN_PRICE", "Price less than min price."),
    -4014: ("PRICE_NOT_INCREASED_BY_TICK_SIZE", "Price not increased by tick size."),
    -4015: ("INVALID_CL_ORD_ID_LEN", "Client order id length should not be more than 36 chars"),
    -4016: ("PRICE_HIGHTER_THAN_MULTIPLIER_UP", "Price is higher than mark price multiplier cap."),
    -4023: ("QTY_NOT_INCREASED_BY_STEP_SIZE", "Qty not increased by step size."),
    -4024: ("PRICE_LOWER_THAN_MULTIPLIER_DOWN", "Price is lower than mark price multiplier floor."),
    -4028: ("INVALID_LEVERAGE", "Leverage %s is not valid"),
    -4045: ("MAX_STOP_ORDER_EXCEEDED", "Reach max stop order limit."),
    -4046: ("NO_NEED_TO_CHANGE_MARGIN_TYPE", "No need to change margin type."),
    -4047: ("THERE_EXISTS_OPEN_ORDERS", "Margin type cannot be changed if there exists open orders."),
    -4048: ("THERE_EXISTS_QUANTITY", "Margin type cannot be changed if there exists position."),
    -4049: ("ADD_ISOLATED_MARGIN_REJECT", "Add margin only support for isolated position."),
    -4051: ("ISOLATED_BALANCE_INSUFFICIENT", "Isolated balance insufficient."),
    -4054: ("ADD_ISOLATED_MARGIN_NO_POSITION_REJECT", "Cannot add position margin: position is 0."),
    -4055: ("AMOUNT_MUST_BE_POSITIVE", "Amount must be positive."),
    -4059: ("NO_NEED_TO_CHANGE_POSITION_SIDE", "No need to change position side."),
    -4061: ("POSITION_SIDE_NOT_MATCH", "Order's position side does not match user's setting."),
    -4067: ("POSITION_SIDE_CHANGE_EXISTS_OPEN_ORDERS",
            "Position side cannot be changed if there exists open orders."),
    -4068: ("POSITION_SIDE_CHANGE_EXISTS_QUANTITY", "Position side cannot be changed if there exists position."),
    -4116: ("DUPLICATED_CLIENT_ORDER_ID", "clientOrderId is duplicated"),
    -4120: ("STOP_ORDER_SWITCH_ALGO", "Order type not supported for this endpoint. "
            "Please use the Algo Order API endpoints instead."),
    -4131: ("MARKET_ORDER_REJECT",
            "The counterparty's best price does not meet the PERCENT_PRICE filter limit"),
    -4138: ("REDUCE_ONLY_MUST_BE_TRUE", "Reduce only must be true with closePosition equals true"),
    -4140: ("INVALID_OPENING_POSITION_STATUS", "Invalid symbol status for opening position"),
    -4141: ("SYMBOL_ALREADY_CLOSED", "Symbol is closed"),
    -4161: ("ISOLATED_LEVERAGE_REJECT_WITH_POSITION",
            "Leverage reduction is not supported in Isolated Margin Mode with open positions"),
    -4164: ("MIN_NOTIONAL", "Order's notional must be no smaller than %s (unless you choose reduce only)"),
    -4171: ("NO_NEED_TO_CHANGE_JOINT_MARGIN",
            "Adjusted asset mode is currently set and does not need to be adjusted repeatedly."),
    -5021: ("FOK_ORDER_REJECT",
            "Due to the order could not be filled immediately, the FOK order has been rejected."),
    -5022: ("GTX_ORDER_REJECT",
            "Due to the order could not be executed as maker, the Post Only order will be rejected."),
    -5027: ("SAME_ORDER", "No need to modify the order."),
    -5037: ("INVALID_PRICE_MATCH", "Invalid price match"),
    -5038: ("UNSUPPORTED_ORDER_TYPE_PRICE_MATCH", "Price match only supports order type: LIMIT, STOP AND TAKE_PROFIT"),
    -5040: ("FUTURE_GOOD_TILL_DATE", "The goodTillDate timestamp must be greater than the current time plus 600 "
            "seconds and smaller than 253402300799000 (UTC 9999-12-31 23:59:59)"),
    -5041: ("BBO_ORDER_REJECT", "No depth matches this BBO order"),
}
# Texts of the real venue that are not on the page, and where they were seen.
SEEN: Final = {
    -2011: "Unknown order sent.",  # ccxt, issue 27486
    -4003: "Quantity less than or equal to zero.",  # ccxt, binance.ts
    -4016: "Limit price can't be higher than %s.",  # the page has it under -4183
    -4024: "Limit price can't be lower than %s.",  # the page has it under -4184
    # testnet, 2026
    -4130: "An open stop or take profit order with GTE and closePosition in the direction is existing.",
}
