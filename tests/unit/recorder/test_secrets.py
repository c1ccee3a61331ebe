from pathlib import Path

import pytest

from lakemark.recorder.secrets import REDACTED, allowed_environment, is_secret, is_secret_content, redact_argv


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".env.local",
        "conf/.ENV.production",
        "prod.env",
        ".envrc",
        "server.pem",
        "deploy/tls.key",
        "id_rsa",
        "id_ed25519_work",
        "id_rsa.bak",
        "credentials",
        "conf/local/credentials.yml",
        ".netrc",
        ".pgpass",
        "cert.pfx",
        "home/.aws/config",
        ".ssh/known_hosts",
        "my-service-account-prod.json",
        "application_default_credentials.json",
        "client_secret_123.json",
        ".streamlit/secrets.toml",
        ".docker/config.json",
    ],
)
def test_files_that_hold_secrets_are_named_with_a_reason(path: str) -> None:
    assert is_secret(path)
    assert is_secret(Path("/somewhere") / path)


@pytest.mark.parametrize(
    "path",
    [
        ".env.example",
        ".env.sample",
        "credentials.template.yml",
        "id_rsa.pub",
        "train.py",
        "secrets.py",
        "environment.yml",
        "keys.py",
        "data/monkey.csv",
        "config.json",
        "tokens.json",
        "envs/a.py",
    ],
)
def test_ordinary_files_are_not(path: str) -> None:
    assert is_secret(path) is None


def test_content_gives_a_key_away_whatever_its_name_is() -> None:
    assert is_secret_content(b"\n-----BEGIN RSA PRIVATE KEY-----\nabc") == "private key"
    assert is_secret_content(b'{\n "type": "service_account", "private_key_id": "1"}') == "service account"
    assert is_secret_content(b"-----BEGIN CERTIFICATE-----") is None
    assert is_secret_content(b'KEY = "-----BEGIN RSA PRIVATE KEY-----"') is None
    assert is_secret_content(b"") is None


@pytest.mark.parametrize(
    ("argv", "clean", "names"),
    [
        (["--password", "x"], ["--password", REDACTED], ["password"]),
        (["--password=a b=c"], [f"--password={REDACTED}"], ["password"]),
        (["--api-key", "-abc"], ["--api-key", REDACTED], ["api-key"]),
        (["--apiKey=1"], [f"--apiKey={REDACTED}"], ["apiKey"]),
        (["--token=t", "--token=u"], [f"--token={REDACTED}"] * 2, ["token"]),
        (["--hf_token", "t"], ["--hf_token", REDACTED], ["hf_token"]),
        (["db.password=x"], [f"db.password={REDACTED}"], ["db.password"]),
        (["postgresql://me:p:w@db/x"], [f"postgresql://me:{REDACTED}@db/x"], ["url"]),
        (["--uri=mysql://u:p@h"], [f"--uri=mysql://u:{REDACTED}@h"], ["url"]),
        (["https://h/x?a=1&token=abc&b=2"], [f"https://h/x?a=1&token={REDACTED}&b=2"], ["token"]),
        (["https://h/x?sig=abc"], [f"https://h/x?sig={REDACTED}"], ["signature"]),
        (['{"secret": "x y", "lr": 1}'], [f'{{"secret": "{REDACTED}", "lr": 1}}'], ["secret"]),
        (["host=h password=p user=u"], [f"host=h password={REDACTED} user=u"], ["password"]),
        (["ghp_" + "a" * 36], [REDACTED], ["token"]),
        (["-H", "Authorization: Bearer abcdefghij"], ["-H", f"Authorization: {REDACTED}"], ["Authorization"]),
        (["--password", "--lr", "1"], ["--password", "--lr", "1"], []),
        (["--password"], ["--password"], []),
    ],
)
def test_secret_arguments_are_redacted(argv: list[str], clean: list[str], names: list[str]) -> None:
    assert redact_argv(argv) == (tuple(clean), tuple(names))


@pytest.mark.parametrize(
    "argv",
    [
        ["--tokenizer", "bert", "--max-tokens", "100", "--pad-token=[PAD]"],
        ["--key", "customer_id", "--keys=a,b", "--author", "me"],
        ["--lr", "0.1", "--url", "https://host:8080/a", "s3://bucket/key", "delta:///x@v3"],
        ["password", "train.py"],
        [],
    ],
)
def test_ordinary_arguments_stay(argv: list[str]) -> None:
    assert redact_argv(argv) == (tuple(argv), ())


def test_only_listed_variables_pass() -> None:
    seen = allowed_environment({"PATH": "/x", "OPENAI_API_KEY": "x", "PYTHONHASHSEED": "0", "MKL_NUM_THREADS": "4"})
    assert seen == {"MKL_NUM_THREADS": "4", "PYTHONHASHSEED": "0"}
