"""Settings come from the environment, and what is wrong with them is said without secrets."""

from pathlib import Path

import pytest

from app.doctor import State
from app.doctor.machine import check_names
from app.settings import SettingsError, load_settings, unknown_names


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no .env here
    for name in ("HOME", "PORT", "DATABASE_URL", "TELEGRAM_TOKEN", "LOG_LEVEL"):
        monkeypatch.delenv(f"NOD_{name}", raising=False)


def test_a_dotenv_file_is_read_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("NOD_PORT=1234\nNOD_HOST=0.0.0.0\n")
    monkeypatch.setenv("NOD_PORT", "4321")
    settings = load_settings()
    assert (settings.host, settings.port) == ("0.0.0.0", 4321)


def test_an_empty_value_is_one_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NOD_TELEGRAM_TOKEN=\nNOD_TRAINER_BASE_URL=\n")
    monkeypatch.setenv("NOD_MODEL_BASE_URL", "")
    settings = load_settings()
    assert settings.telegram_token is None
    assert settings.trainer_base_url is None
    assert settings.runs_model_server


def test_every_wrong_setting_is_named_with_its_value_and_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NOD_PORT", "eighty")
    monkeypatch.setenv("NOD_LOG_LEVEL", "loud")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "NOD_PORT='eighty'" in str(caught.value)
    assert "NOD_LOG_LEVEL='loud'" in str(caught.value)
    assert "valid integer" in str(caught.value)


def test_a_wrong_database_url_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NOD_DATABASE_URL", "mysql://shop:hunter2@db/nod")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "mysql://shop:***@db/nod" in str(caught.value)
    assert "postgresql+psycopg://" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_password_with_an_at_sign_is_not_shown_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOD_DATABASE_URL", "mysql://shop:hun@ter2@db/nod")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hun" not in str(caught.value)
    assert "ter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["TELEGRAM_TOKEN", "MODEL_API_KEY"])
def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"NOD_{name}", "s3cret-value")
    assert "s3cret" not in repr(load_settings())
    with pytest.raises(SettingsError) as caught:
        load_settings(**{name.lower(): ["s3cret-value"]})
    assert "s3cret" not in str(caught.value)


def test_two_settings_that_do_not_go_together_are_named_and_no_other_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NOD_TELEGRAM_TOKEN", "s3cret-value")
    monkeypatch.setenv("NOD_ANNOUNCE_EMAILS", "ada@example.com")
    with pytest.raises(SettingsError, match="NOD_ANNOUNCE_EMAILS needs NOD_SMTP_URL") as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)


def test_a_setting_with_few_values_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOD_MODEL_ENGINE", "lama")
    with pytest.raises(SettingsError, match="NOD_MODEL_ENGINE='lama': give one of llama, stub"):
        load_settings()


@pytest.mark.parametrize("name", ["MODEL_BASE_URL", "CHROMA_URL", "PUBLIC_URL"])
def test_an_address_without_its_scheme_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"NOD_{name}", "localhost:8000")
    with pytest.raises(SettingsError, match=f"NOD_{name}='localhost:8000': .* http://"):
        load_settings()


@pytest.mark.parametrize("value", ["Ada, Fern", "[1]"])
def test_words_that_are_no_list_are_refused_by_the_settings_name(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("NOD_REDACT_WORDS", value)
    with pytest.raises(SettingsError, match=r"NOD_REDACT_WORDS(=| is)"):
        load_settings()


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:8080"), ("::1", "http://[::1]:8080")],
)
def test_the_address_to_open_is_one_that_a_browser_can_open(host: str, url: str) -> None:
    assert load_settings(host=host).web_url == url


def test_a_misspelt_setting_is_found_in_the_environment_and_in_dotenv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("NOD_PROT=9000\nPOSTGRES_PASSWORD=x\nNOD_VERSION=1\n")
    monkeypatch.setenv("NOD_TELEGRAM_TOKN", "123:abc")
    assert {"NOD_PROT", "NOD_TELEGRAM_TOKN"} <= set(unknown_names())
    assert not {"NOD_VERSION", "NOD_HOME", "POSTGRES_PASSWORD"} & set(unknown_names())
    found = check_names()
    assert found.state is State.odd
    assert "NOD_PORT" in found.mend
    assert "123:abc" not in found.said
