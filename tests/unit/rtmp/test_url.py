import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.rtmp.url import PublishTarget


@pytest.mark.parametrize(
    ("app", "tc_url", "name", "expected"),
    [
        # ffmpeg and nginx-rtmp
        ("live", "rtmp://push.example.com:1935/live", "s1", ("push.example.com", "push.example.com", "live", "s1", "")),
        ("live", "rtmp://Push.Example.com/live", "s1?a=1&b=2", ("push.example.com",) * 2 + ("live", "s1", "a=1&b=2")),
        # OBS: the server field ends with a slash; the key holds the query
        ("live/", "rtmp://h/live/", "key?auth=x", ("h", "h", "live", "key", "auth=x")),
        # OBS: only a host in the server field
        ("", "rtmp://h", "live/key", ("h", "h", "live", "key", "")),
        # a virtual host, in the app of old clients or in the stream name
        (
            "live?vhost=V.example",
            "rtmp://1.2.3.4/live?vhost=V.example",
            "s",
            ("1.2.3.4", "v.example", "live", "s", "vhost=V.example"),
        ),
        (
            "live",
            "rtmp://1.2.3.4/live",
            "s?vhost=v.example&t=1",
            ("1.2.3.4", "v.example", "live", "s", "vhost=v.example&t=1"),
        ),
        # queries at several places
        ("live", "rtmp://h/live?x=1", "s?y=2", ("h", "h", "live", "s", "x=1&y=2")),
        ("live?x=1", "rtmp://h/live?x=1", "s?x=1", ("h", "h", "live", "s", "x=1")),
        # application instances
        ("live/_definst_", "rtmp://h/live/_definst_", "s", ("h", "h", "live", "s", "")),
        ("live/inst", "rtmp://h/live/inst", "s", ("h", "h", "live", "inst/s", "")),
        ("live", "rtmp://h/live", "/s", ("h", "h", "live", "s", "")),
        # hosts
        ("live", "rtmp://[2001:db8::1]:1935/live", "s", ("2001:db8::1", "2001:db8::1", "live", "s", "")),
        ("live", "rtmp://user:pass@h:1935/live", "s", ("h", "h", "live", "s", "")),
        ("live", "rtmps://h/live", "s", ("h", "h", "live", "s", "")),
        ("live", "", "s", ("", "", "live", "s", "")),
        ("", "", "", ("", "", "", "", "")),
    ],
)
def test_where_encoders_push_to(app, tc_url, name, expected):
    assert PublishTarget.parse(app, tc_url, name) == PublishTarget(*expected)


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_any_text_makes_a_target(app, tc_url, name):
    PublishTarget.parse(app, "rtmp://" + tc_url, name)
    PublishTarget.parse(app, tc_url, name)
