"""What the data folder keeps from one start to the next."""

import stat
from pathlib import Path

from cryptography.fernet import Fernet
from pydantic import SecretStr

from janus_mail.settings import Settings
from janus_mail.storage.data_folder import DataFolder
from janus_mail.storage.secrets import SecretBox


def test_the_secret_key_is_made_once_for_this_user_alone(tmp_path: Path) -> None:
    keys = DataFolder(tmp_path / "data").secret_keys(Settings())
    assert len(keys) == 1
    assert DataFolder(tmp_path / "data").secret_keys(Settings()) == keys
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / "secret_key").stat().st_mode) == 0o600


def test_what_the_folders_key_encrypted_stays_readable_when_another_is_set(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    sealed = SecretBox(folder.secret_keys(Settings())).seal({"password": "p"})
    new = Fernet.generate_key().decode()
    keys = folder.secret_keys(Settings(secret_keys=(SecretStr(new),)))
    assert keys[0] == new
    assert SecretBox(keys).open(sealed) == {"password": "p"}


def test_a_folder_whose_keys_are_set_makes_none_of_its_own(tmp_path: Path) -> None:
    key = Fernet.generate_key().decode()
    assert DataFolder(tmp_path).secret_keys(Settings(secret_keys=(SecretStr(key),))) == (key,)
    assert list(tmp_path.iterdir()) == []


def test_the_api_key_is_kept_for_the_next_start(tmp_path: Path) -> None:
    assert DataFolder(tmp_path).api_key() is None
    DataFolder(tmp_path).keep_api_key("janus_a_b")
    assert DataFolder(tmp_path).api_key() == "janus_a_b"
    assert stat.S_IMODE((tmp_path / "api_key").stat().st_mode) == 0o600
