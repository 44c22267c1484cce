"""Keeps the checker's requests on this machine, and leads them to what is there.

Whatever web address it makes up for a picture or a callback is replaced by one of the
test's own, so that the gateway opens no other; what is no web address stays as it is.
A made-up id of the documented form becomes, every other time, that of a request that is
done, and its result is asked for in parts, too. An Idempotency-Key of the documented form is
mostly made a new one: the answer to a key that was used would hide what is thought of the
body. What was answered is written down for the
test, which wants to know what was tried.
"""

import itertools
import os
import re

import schemathesis

WEB_ADDRESS = re.compile(r"https?://[^/]", re.IGNORECASE)
REQUEST_ID = re.compile(r"gfpgan_[0-9a-f-]{36}")
PARTS = itertools.cycle(
    [{}, {"Range": "bytes=0-7"}, {"Range": "bytes=999999999-"}, {"If-None-Match": "*"}]
)
IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
every_other = itertools.cycle([True, False])
number = itertools.count()


def own(value, address):
    return address if isinstance(value, str) and WEB_ADDRESS.match(value) else value


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, dict) and "img" in case.body:
        case.body = {**case.body, "img": own(case.body["img"], os.environ["PICTURE"])}
    for name in list(case.headers or {}):
        value = case.headers[name]
        if name.lower() == "x-webhook-url":
            case.headers[name] = own(value, os.environ["HOOK"])
        elif name.lower() == "idempotency-key" and IDEMPOTENCY_KEY.fullmatch(str(value)):
            count = next(number)
            case.headers[name] = f"{count}-{value}"[:255] if count % 8 else value
    named = (case.path_parameters or {}).get("request_id")
    if isinstance(named, str) and REQUEST_ID.fullmatch(named) and next(every_other):
        case.path_parameters["request_id"] = os.environ["DONE"]
        if case.operation.label.startswith("GET /media/"):
            case.headers.update(next(PARTS))


@schemathesis.hook
def after_call(context, case, response):
    with open(os.environ["ANSWERS"], "a", encoding="utf-8") as answers:
        print(case.method, case.operation.path, response.status_code, file=answers)
