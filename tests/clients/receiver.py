"""Receives one signed callback: receiver.py WEBHOOK_SECRET

Checks the signature as README.md shows it, by nothing but Python's own library. Prints
the address to give as X-Webhook-URL, and then what it has heard.
"""

import base64
import hashlib
import hmac
import http.server
import json
import sys
import time


def is_genuine(secret, headers, body):
    key = base64.b64decode(secret.removeprefix("whsec_"))
    name, sent = headers["webhook-id"], headers["webhook-timestamp"]
    signed = f"{name}.{sent}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    # Several, with a space between them, while a secret is being exchanged.
    given = [word.removeprefix("v1,") for word in headers["webhook-signature"].split()]
    fresh = abs(time.time() - int(sent)) < 300
    return fresh and any(hmac.compare_digest(expected, word) for word in given)


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        genuine = is_genuine(sys.argv[1], self.headers, body)
        forged = is_genuine(sys.argv[1], self.headers, body.replace(b"COMPLETED", b"FAILED"))
        self.send_response(204 if genuine else 401)
        self.end_headers()
        status = json.loads(body)
        print(genuine, forged, status["request_id"], status["status"], flush=True)

    def log_message(self, *words):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
server.timeout = 60
print(f"http://127.0.0.1:{server.server_address[1]}/hook", flush=True)
server.handle_request()
