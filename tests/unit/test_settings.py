"""Settings: where values come from, and what a broken one is told."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from livereel import settings
from livereel.settings import BadSettings, Settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in settings.os.environ:
        if name.startswith("LIVEREEL_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(text: str) -> Path:
    path = Path("livereel.toml")
    path.write_text(text)
    return path


def test_defaults_need_no_file() -> None:
    loaded = settings.load()
    assert loaded.rtmp.port == 1935
    assert loaded.api.port == 8280
    assert loaded.rtmp.default_domain == "publish.livereel.internal"
    assert loaded.recorder.workers >= 1
    assert loaded.node
    assert loaded.storage_root() == Path("livereel-data/store")
    assert loaded.catalogue_url() == f"sqlite:///{Path.cwd()}/livereel-data/catalogue.db"


def test_the_file_in_the_working_directory_is_read() -> None:
    write('data_dir = "/srv/rec"\n[rtmp]\nport = 1936\n[callbacks]\nallow_private = ["10.1.0.0/16"]\n')
    loaded = settings.load()
    assert loaded.data_dir == Path("/srv/rec")
    assert loaded.rtmp.port == 1936
    assert loaded.rtmp.host == "0.0.0.0"
    assert loaded.callbacks.allow_private == (ip_network("10.1.0.0/16"),)


@pytest.mark.parametrize(("text", "seconds"), [("0.25", 0.25), ("0", 0.0), ("off", None)])
def test_how_often_spools_are_synced(text: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.load().spool.sync_seconds == 1.0
    monkeypatch.setenv("LIVEREEL_SPOOL__FSYNC_INTERVAL", text)
    assert settings.load().spool.sync_seconds == seconds
    written = '"off"' if text == "off" else text
    write(f"[spool]\nfsync_interval = {written}\n")
    monkeypatch.delenv("LIVEREEL_SPOOL__FSYNC_INTERVAL")
    assert settings.load().spool.sync_seconds == seconds
    monkeypatch.setenv("LIVEREEL_SPOOL__FSYNC_INTERVAL", "never")
    with pytest.raises(BadSettings, match=r"spool\.fsync_interval"):
        settings.load()


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "127.0.0.1:1"), ("::", "[::1]:1"), ("192.0.2.1", "192.0.2.1:1"), ("2001:db8::1", "[2001:db8::1]:1")],
)
def test_how_pull_tasks_reach_our_own_rtmp_server(host: str, address: str) -> None:
    write(f'[rtmp]\nhost = "{host}"\n[pulls]\nallow_private = ["10.0.0.0/8"]\n')
    loaded = settings.load()
    assert loaded.rtmp_address(1) == address
    assert loaded.pulls.allow_private == (ip_network("10.0.0.0/8"),)


def test_the_environment_beats_the_file_member_by_member(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[rtmp]\nport = 1936\nhost = "192.0.2.1"\n')
    monkeypatch.setenv("LIVEREEL_RTMP__PORT", "1937")
    monkeypatch.setenv("LIVEREEL_CALLBACKS__ALLOW_PRIVATE", "127.0.0.1, fd00::/8")
    loaded = settings.load()
    assert (loaded.rtmp.host, loaded.rtmp.port) == ("192.0.2.1", 1937)
    assert loaded.callbacks.allow_private == (ip_network("127.0.0.1"), ip_network("fd00::/8"))


def test_a_named_file_is_read_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write("[rtmp]\nport = 1\n")
    other = tmp_path / "other.toml"
    other.write_text("[rtmp]\nport = 2\n")
    assert settings.load(other).rtmp.port == 2
    monkeypatch.setenv("LIVEREEL_CONFIG", str(other))
    assert settings.load().rtmp.port == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[rtmp]\nport = 70000\n",
            "livereel.toml: rtmp.port: Input should be less than or equal to 65535 (not 70000)",
        ),
        ("[rtmp]\nprot = 1\n", "livereel.toml: rtmp.prot: there is no such setting"),
        ("[other]\na = 1\n", "livereel.toml: other: there is no such setting"),
        ('[api]\ntls_key = "k.pem"\n', "livereel.toml: api: tls_certificate and tls_key must be set together"),
        (
            '[api]\npublic_url = "rec.example.com"\n',
            "livereel.toml: api.public_url: must be an http:// or https:// URL without query (not 'rec.example.com')",
        ),
        (
            '[rtmp]\ndefault_domain = "Push.Example.com"\n',
            "livereel.toml: rtmp.default_domain: domain 'Push.Example.com' may hold only lower-case letters, digits, "
            "'-' and '.' (not 'Push.Example.com')",
        ),
        (
            '[callbacks]\nallow_private = ["10.0.0.0/33"]\n',
            "livereel.toml: callbacks.allow_private.0: Input is not a valid IPv4 network; or: Input is not a valid "
            "IPv6 network (not '10.0.0.0/33')",
        ),
        (
            '[spool]\nfsync_interval = "of"\n',
            "livereel.toml: spool.fsync_interval: Input should be a valid number, unable to parse string as a number; "
            "or: Input should be 'off' (not 'of')",
        ),
        ("rtmp\n", "livereel.toml: is not TOML: Expected '=' after a key in a key/value pair (at line 1, column 5)"),
    ],
)
def test_a_broken_file_is_told_in_one_line(text: str, told: str) -> None:
    write(text)
    with pytest.raises(BadSettings) as caught:
        settings.load()
    assert caught.value.detail == told


def test_several_mistakes_are_counted() -> None:
    write('[rtmp]\nport = "x"\nnothing = 1\n')
    with pytest.raises(BadSettings, match=r"rtmp\.port.*; and 1 more$"):
        settings.load()


def test_a_broken_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEREEL_API__PORT", "many")
    with pytest.raises(BadSettings, match=r"^environment LIVEREEL_API__PORT \(api\.port\): .*'many'"):
        settings.load()


def test_a_missing_file_is_told() -> None:
    with pytest.raises(BadSettings, match=r"^nowhere\.toml: cannot be read: No such file"):
        settings.load(Path("nowhere.toml"))


def test_the_database_password_is_not_shown() -> None:
    loaded = Settings(catalogue={"url": "postgresql://u:hunter2@db/livereel"})  # type: ignore[arg-type]
    assert "hunter2" not in repr(loaded)
    assert "hunter2" in loaded.catalogue_url()


@pytest.mark.parametrize(
    ("api", "url"),
    [
        ({}, "http://127.0.0.1:8280"),
        ({"host": "::1", "port": 0}, "http://[::1]:4000"),
        ({"host": "192.0.2.7", "tls_certificate": "c", "tls_key": "k"}, "https://192.0.2.7:8280"),
        ({"public_url": "https://rec.example.com/"}, "https://rec.example.com"),
    ],
)
def test_public_url(api: dict[str, object], url: str) -> None:
    loaded = Settings(api=api)  # type: ignore[arg-type]
    assert loaded.public_url(4000 if loaded.api.port == 0 else None) == url


def test_variables_of_nobody_are_listed() -> None:
    environment = {
        "LIVEREEL_RTMP__PORT": "1",
        "LIVEREEL_DATA_DIR": "x",
        "LIVEREEL_DEMUXER": "auto",
        "LIVEREEL_RTPM__PORT": "1",
        "LIVEREEL_SERVICE_HOST": "10.0.0.1",
        "HOME": "/",
    }
    assert settings.unknown_variables(environment) == ["LIVEREEL_RTPM__PORT", "LIVEREEL_SERVICE_HOST"]


BUCKET = '[storage.buckets.rec-a]\nurl = "obs://tenant/below"\nendpoint = "https://obs.example.com"\n'


def test_no_bucket_is_elsewhere_by_default() -> None:
    assert settings.load().bucket_configs() == {}


def test_a_bucket_with_credentials_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    write(BUCKET + 'credentials_env = "OBS"\n')
    loaded = settings.load()
    monkeypatch.delenv("OBS_ACCESS_KEY", raising=False)
    with pytest.raises(
        BadSettings, match=r"storage\.buckets\.rec-a: credentials_env: none of OBS_ACCESS_KEY, OBS_SECRET"
    ):
        loaded.bucket_configs()
    monkeypatch.setenv("OBS_ACCESS_KEY", "ak")
    with pytest.raises(BadSettings, match="must be given together"):
        loaded.bucket_configs()
    monkeypatch.setenv("OBS_SECRET_KEY", "very-secret")
    config = loaded.bucket_configs()["rec-a"]
    assert config.credentials == {"access_key": "ak", "secret_key": "very-secret"}
    assert config.base_url == "https://tenant.obs.example.com"
    assert "very-secret" not in repr(loaded) + repr(config)


def test_a_bucket_with_credentials_of_a_file() -> None:
    write(BUCKET + 'credentials_file = "obs.toml"\ncertificate_file = "ca.pem"\n')
    loaded = settings.load()
    with pytest.raises(BadSettings, match=r"storage\.buckets\.rec-a: ca\.pem: No such file"):
        loaded.bucket_configs()
    Path("ca.pem").write_text("pem")
    Path("obs.toml").write_text("very-secret")
    with pytest.raises(BadSettings, match=r"credentials_file: obs\.toml is not TOML$"):
        loaded.bucket_configs()
    Path("obs.toml").write_text('access_key = "ak"\nsecret_key = "very-secret"\n')
    config = loaded.bucket_configs()["rec-a"]
    assert config.credentials == {"access_key": "ak", "secret_key": "very-secret"}
    assert config.certificate == b"pem"


def test_a_bucket_with_a_service_account() -> None:
    write('[storage.buckets.rec-a]\nurl = "gs://tenant"\ncredentials_file = "account.json"\n')
    Path("account.json").write_text('{"type": "service_account"}')
    assert settings.load().bucket_configs()["rec-a"].credentials == {"service_account": '{"type": "service_account"}'}
    Path("account.json").write_text("very-secret")
    with pytest.raises(BadSettings, match=r"account\.json is not JSON of a service account$"):
        settings.load().bucket_configs()


def test_a_bucket_of_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEREEL_STORAGE__BUCKETS__RECORDINGS__URL", "s3://tenant")
    assert settings.load().bucket_configs()["recordings"].bucket == "tenant"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[storage.buckets.Rec]\nurl = "s3://a"\n', "storage.buckets: bucket 'Rec' must have"),
        ("[storage.buckets.rec-a]\n", "storage.buckets.rec-a.url: Field required"),
        ('[storage.buckets.rec-a]\nurl = "s3://ak:very-secret@a"\n', "storage.buckets.rec-a: url must hold bucket"),
        (BUCKET + 'secret_key = "x"\n', "storage.buckets.rec-a.secret_key: there is no such setting"),
        (BUCKET + 'credentials_env = "A"\ncredentials_file = "b"\n', "cannot be set both"),
    ],
)
def test_buckets_that_cannot_be_used(text: str, told: str) -> None:
    write(text)
    with pytest.raises(BadSettings) as refused:
        settings.load()
    assert told in refused.value.detail
    assert "very-secret" not in refused.value.detail
