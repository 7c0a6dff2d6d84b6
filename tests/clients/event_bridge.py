"""EventBridge of Alibaba Cloud, with its own SDK."""

from report import SETTINGS, attempt, report

from alibabacloud_eventbridge.client import Client
from alibabacloud_eventbridge.models import CloudEvent, Config


def event(identity, text):
    return CloudEvent(
        id=identity, source="acs.cs", type="cs:k8s:PodRelatedEvent", specversion="1.0", subject="acs:cs:1",
        datacontenttype="application/json", time="2024-05-01T02:00:00Z",
        data=('{"message": "%s"}' % text).encode(), extensions={"aliyuneventbusname": "ops"},
    )


def put(events, secret=SETTINGS["secret"]):
    config = Config(
        access_key_id=SETTINGS["id"], access_key_secret=secret, endpoint=SETTINGS["address"], protocol="http"
    )
    answer = Client(config).put_events(events)
    for sent, entry in zip(events, answer.entry_list):
        report(sent.id, entry.event_id == sent.id, entry.error_message or "")
    return answer.failed_entry_count


attempt("both", lambda: put([event("1", "容器 web"), event("2", "poison")]))
attempt("wrong key", lambda: put([event("3", "lost")], secret="another"))
