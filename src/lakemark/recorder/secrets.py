"""What never enters a receipt or a snapshot: files that hold secrets, secret arguments, most environment variables.

Three rules, used inside the user's process and outside: a deny-list for files, a redaction for arguments, and an
allow-list for environment variables. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath

__all__ = [
    "ALLOWED_VARIABLES",
    "REDACTED",
    "THREAD_VARIABLES",
    "allowed_environment",
    "is_secret",
    "is_secret_content",
    "redact_argv",
    "redact_text",
]

REDACTED = "<redacted>"

THREAD_VARIABLES = (
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""How many threads numerical libraries use; the order of a sum, and so its last bits, can depend on it."""

ALLOWED_VARIABLES = (
    *THREAD_VARIABLES,
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "GOMP_CPU_AFFINITY",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "KMP_DETERMINISTIC_REDUCTION",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_COLLATE",
    "LC_CTYPE",
    "LC_NUMERIC",
    "LC_TIME",
    "MALLOC_ARENA_MAX",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "NVIDIA_TF32_OVERRIDE",
    "NVIDIA_VISIBLE_DEVICES",
    "OMP_DYNAMIC",
    "OMP_MAX_ACTIVE_LEVELS",
    "OMP_NESTED",
    "OMP_PLACES",
    "OMP_PROC_BIND",
    "OMP_SCHEDULE",
    "OMP_STACKSIZE",
    "OMP_THREAD_LIMIT",
    "OMP_WAIT_POLICY",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_VERBOSE",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHASHSEED",
    "PYTHONOPTIMIZE",
    "PYTHONUTF8",
    "TF_CUDNN_DETERMINISTIC",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TZ",
    "XLA_FLAGS",
)
"""Variables that can change a result and hold no secret. All others are never looked at."""

_EXAMPLE_WORDS = frozenset({"dist", "example", "examples", "sample", "template", "tmpl", "tpl"})
_SECRET_FOLDERS = frozenset({".aws", ".azure", ".gnupg", ".kube", ".password-store", ".ssh"})
_SECRET_NAMES: Mapping[str, str] = {
    ".boto": "credentials",
    ".databrickscfg": "access token",
    ".dockercfg": "access token",
    ".env": "environment file",
    ".envrc": "environment file",
    ".git-credentials": "credentials",
    ".htpasswd": "passwords",
    ".my.cnf": "passwords",
    ".netrc": "passwords",
    ".npmrc": "access token",
    ".pgpass": "passwords",
    ".pypirc": "passwords",
    ".s3cfg": "credentials",
    ".vault-token": "access token",
    "_netrc": "passwords",
    "kaggle.json": "credentials",
    "kubeconfig": "credentials",
    "pgpass.conf": "passwords",
    **dict.fromkeys(
        (f"secret{s}.{ending}" for s in ("", "s") for ending in ("cfg", "ini", "json", "toml", "txt", "yaml", "yml")),
        "secrets",
    ),
}
_SECRET_ENDINGS: Mapping[str, str] = {
    ".env": "environment file",
    ".jks": "key store",
    ".kdbx": "password database",
    ".key": "private key",
    ".keystore": "key store",
    ".p12": "private key",
    ".p8": "private key",
    ".pem": "key or certificate",
    ".pfx": "private key",
    ".pkcs12": "private key",
    ".ppk": "private key",
    ".tfstate": "infrastructure state, which holds passwords",
    "credentials.json": "credentials",
}
_SECRET_STARTS: Mapping[str, str] = {
    ".credentials": "credentials",
    ".env-": "environment file",
    ".env.": "environment file",
    ".env_": "environment file",
    "client_secret": "client secret",
    "credentials": "credentials",
    "id_dsa": "private key",
    "id_ecdsa": "private key",
    "id_ed25519": "private key",
    "id_rsa": "private key",
}
_ENDINGS = tuple(_SECRET_ENDINGS)
_STARTS = tuple(_SECRET_STARTS)
_SERVICE_ACCOUNT = re.compile(r".*service[-_]?account.*\.json")


def is_secret(path: str | PurePath) -> str | None:
    """Say why a file must not be stored, judged by its name and folder only.

    Parameters
    ----------
    path : str or PurePath
        Absolute or relative. Nothing is read, and it need not exist.

    Returns
    -------
    str or None
        The reason, for people; None where nothing speaks against it.

    Notes
    -----
    Templates (`.env.example`, `credentials.sample.json`) and public keys (`id_rsa.pub`) are no secrets.

    Examples
    --------
    >>> is_secret("conf/.env.local")
    'environment file'
    >>> is_secret(".env.example") is None
    True
    """
    *folders, name = str(path).lower().replace("\\", "/").split("/")
    for folder in folders:
        if folder in _SECRET_FOLDERS:
            return f"in {folder}/"
    reason = _name_reason(name)
    if name == "config.json" and folders and folders[-1] == ".docker":
        return "access token"
    if reason and (name.endswith(".pub") or _EXAMPLE_WORDS.intersection(re.split(r"[._-]", name))):
        return None
    return reason


def _name_reason(name: str) -> str | None:
    """Look a lower-case file name up; a snapshot asks this for thousands of files, so most must end quickly."""
    if name in _SECRET_NAMES:
        return _SECRET_NAMES[name]
    if name.endswith(_ENDINGS):
        return next(reason for ending, reason in _SECRET_ENDINGS.items() if name.endswith(ending))
    if name.startswith(_STARTS):
        return next(reason for start, reason in _SECRET_STARTS.items() if name.startswith(start))
    return "service account" if "service" in name and _SERVICE_ACCOUNT.fullmatch(name) else None


def is_secret_content(head: bytes) -> str | None:
    r"""Say why a file must not be stored, judged by how it begins.

    Parameters
    ----------
    head : bytes
        The first bytes of the file; 4,096 are enough.

    Examples
    --------
    >>> is_secret_content(b"-----BEGIN OPENSSH PRIVATE KEY-----\n")
    'private key'
    """
    start = head.lstrip()
    if start.startswith(b"-----BEGIN ") and b"PRIVATE KEY" in start[:64]:
        return "private key"
    if start.startswith(b"{") and b'"service_account"' in start and b'"private_key' in start:
        return "service account"
    return None


_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ALWAYS = frozenset(
    {"apikey", "credential", "credentials", "passphrase", "passwd", "password", "passwords", "pwd", "secret", "secrets"}
)
_KEY_KINDS = frozenset({"access", "account", "api", "auth", "encryption", "private", "secret", "shared", "signing"})
_TOKEN_KINDS = frozenset(
    {"access", "api", "app", "auth", "aws", "bearer", "bot", "client", "csrf", "databricks", "gh", "git", "github"}
    | {"gitlab", "hf", "hub", "huggingface", "id", "jwt", "login", "mlflow", "oauth", "personal", "refresh", "sas"}
    | {"security", "service", "session", "slack", "user", "wandb", "write", "read"}
)


def _is_secret_name(name: str) -> bool:
    """Tell `--api-key` and `db.password` from `--tokenizer`, `--max-tokens` and `--key customer_id`."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if _ALWAYS.intersection(words):
        return True
    if words and words[-1] in {"key", "keys"}:
        return bool(_KEY_KINDS.intersection(words[:-1]))
    if words and words[-1] in {"token", "pat", "bearer"}:
        return len(words) == 1 or bool(_TOKEN_KINDS.intersection(words[:-1]))
    return "authorization" in words or words in (["auth"], ["sas"])


_URL_PASSWORD = re.compile(r"(?P<before>[A-Za-z][A-Za-z0-9+.-]*://[^\s/@:?#]*:)(?P<value>[^\s/?#]*)(?=@)")
_URL_USER_TOKEN = re.compile(r"(?P<before>https?://)(?P<value>[^\s/@:?#]{16,})(?=@)")
_PAIR = re.compile(
    r"""(?P<name>[A-Za-z][\w.-]*)(?P<sep>["']?\s*[=:]\s*)(?P<value>"[^"]*"|'[^']*'|Bearer\s+\S+|[^\s"'&;,}]+)"""
)
_BEARER = re.compile(r"(?P<before>\b[Bb]earer\s+)(?P<value>[\w.~+/=-]{8,})")
_SIGNATURE = re.compile(r"(?P<before>[?&](?:sig|signature|X-Amz-Signature|X-Goog-Signature)=)(?P<value>[^&\s#]+)")
_KNOWN_FORM = re.compile(
    r"\b(?P<before>)(?P<value>gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_\w{20,}|sk-[\w-]{20,}|"
    r"dapi[0-9a-f]{32}|xox[abprs]-[\w-]{10,}|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{35}|"
    r"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,})"
)
_FLAG = re.compile(r"(?P<dashes>-{1,2}|\+{1,2})?(?P<name>[A-Za-z][\w.-]*)")


def redact_argv(argv: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Take the secrets out of a command's arguments.

    Parameters
    ----------
    argv : sequence of str
        The arguments behind the script's name.

    Returns
    -------
    argv : tuple of str
        As many arguments, with `<redacted>` in the place of each secret value.
    names : tuple of str
        What was redacted: names of options and keys, or the kind of value (`"url"`, `"token"`), each once.

    Notes
    -----
    A value is secret by its option's name (`--password x`, `--api-key=x`, `db.token=x`, `{"secret": "x"}`) or by its
    form (a password in a URL, a bearer token, the well-known prefixes of access tokens).

    Examples
    --------
    >>> redact_argv(["--lr", "0.1", "--db-password", "hunter2", "s3://key:value@bucket/x"])
    (('--lr', '0.1', '--db-password', '<redacted>', 's3://key:<redacted>@bucket/x'), ('db-password', 'url'))
    """
    names: dict[str, None] = {}
    clean: list[str] = []
    pending = ""
    for argument in argv:
        if pending and not argument.startswith("--"):
            names[pending] = None
            clean.append(REDACTED)
            pending = ""
            continue
        pending = ""
        flag, equals, _ = argument.partition("=")
        match = _FLAG.fullmatch(flag)
        if match and _is_secret_name(match["name"]) and (equals or match["dashes"]):
            if equals:
                names[match["name"]] = None
            else:
                pending = match["name"]
            clean.append(f"{flag}={REDACTED}" if equals else argument)
        else:
            clean.append(_redact_value(argument, names))
    return tuple(clean), tuple(names)


def redact_text(text: str) -> str:
    """Take out of a text, an error's message say, what looks like a secret.

    Examples
    --------
    >>> redact_text("could not connect to postgresql://ada:hunter2@db/sales")
    'could not connect to postgresql://ada:<redacted>@db/sales'
    """
    return _redact_value(text, {})


def _redact_value(text: str, names: dict[str, None]) -> str:
    """Redact what looks like a secret inside one argument, and note its name."""

    def replace(match: re.Match[str], *, name: str) -> str:
        if match["value"] == REDACTED:
            return match[0]
        names[name] = None
        return match["before"] + REDACTED

    def replace_pair(match: re.Match[str]) -> str:
        value = match["value"]
        if not _is_secret_name(match["name"]) or value.startswith("//"):
            return match[0]
        names[match["name"]] = None
        quote = value[0] if value[0] in "\"'" else ""
        return f"{match['name']}{match['sep']}{quote}{REDACTED}{quote}"

    text = _PAIR.sub(replace_pair, text)
    for pattern, name in (
        (_URL_PASSWORD, "url"),
        (_URL_USER_TOKEN, "url"),
        (_SIGNATURE, "signature"),
        (_BEARER, "token"),
        (_KNOWN_FORM, "token"),
    ):
        text = pattern.sub(lambda match, name=name: replace(match, name=name), text)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    return text


def allowed_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that can change a result and hold no secret, sorted by name.

    Parameters
    ----------
    environ : mapping of str to str
        Usually `os.environ`.

    Examples
    --------
    >>> allowed_environment({"TZ": "UTC", "AWS_SECRET_ACCESS_KEY": "x", "OMP_NUM_THREADS": "2"})
    {'OMP_NUM_THREADS': '2', 'TZ': 'UTC'}
    """
    return {name: environ[name] for name in sorted(ALLOWED_VARIABLES) if name in environ}
