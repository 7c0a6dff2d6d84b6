"""Honeycomb, with libhoney: two batches and one with a wrong key."""

from datetime import datetime, timezone

from libhoney import Client
from libhoney.transmission import Transmission
from report import SETTINGS, report


def send(events, key=SETTINGS["key"], **options):
    """Sends events as one batch and reports what became of each."""
    # It flushes at the end, and not before.
    transmission = Transmission(send_frequency=60, block_on_response=True, **options)
    client = Client(writekey=key, dataset=SETTINGS["dataset"], api_host=SETTINGS["url"], transmission_impl=transmission)
    for message, created, rate, data in events:
        event = client.new_event(data=data)
        event.created_at = created
        event.sample_rate = rate
        event.metadata = message
        # Sampling, which is by chance, is done by then.
        event.send_presampled()
    client.close()
    answers = {}
    for answer in iter(client.responses().get, None):
        answers[answer["metadata"]] = answer
    for message, *_ in events:
        answer = answers[message]
        report(message, answer["status_code"] == 202, answer["error"])


second = datetime(2024, 5, 1, 2, 0, 0)
send([
    ("plain", second.replace(microsecond=250000), 1, {"message": "容器 web", "count": 3}),
    ("many columns", second, 1, {f"column {number}": number for number in range(2001)}),
    ("too large", second, 1, {f"column {number}": "x" * 60000 for number in range(20)}),
    ("sampled", second.replace(second=1, tzinfo=timezone.utc), 4, {"message": "one of four"}),
])
send([("not compressed", second.replace(second=2), 1, {"message": "plain JSON"})], gzip_enabled=False)
send([("wrong key", second, 1, {"message": "lost"})], key="another")
