"""The Log Service of Alibaba Cloud, with its own SDK and signature V4."""

import socket
import time

from report import SETTINGS, attempt

from aliyun.log import LogClient, LogItem, PutLogsRequest
from aliyun.log.auth import AUTH_VERSION_4

# The SDK puts the project in front of the host, which is an address here.
look_up = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: look_up("127.0.0.1", *rest, **more)


def put(message, fields, secret=SETTINGS["secret"], log_store=SETTINGS["logStore"], age=0):
    """Stores one log, and says whether the SDK says that it was stored."""
    client = LogClient(
        SETTINGS["url"], SETTINGS["id"], secret, auth_version=AUTH_VERSION_4, region=SETTINGS["region"]
    )
    item = LogItem(timestamp=int(time.time()) - age, contents=fields)
    request = PutLogsRequest(SETTINGS["project"], log_store, "k8s", "", [item], compress=True)
    attempt(message, lambda: client.put_logs(request).get_all_headers()["x-log-requestid"])


put("plain", [("level", "Warning"), ("message", "容器 web")])
put("too old", [("level", "Warning")], age=8 * 24 * 3600)
put("no such logstore", [("level", "Warning")], log_store="another")
put("wrong key", [("level", "Warning")], secret="another")
