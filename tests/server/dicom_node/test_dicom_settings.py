"""A configuration is checked before anything listens."""

from pathlib import Path

import pytest

from deeppneumonia.errors import ConfigError
from deeppneumonia.server.dicom_settings import NodeSettings, Peer

WRONG = {
    "[dicom_node]\nhost = '0.0.0.0'": "for everybody: name who may send",
    "[dicom_node]\nquite_s = 3": "no setting called 'quite_s'",
    "[dicom_node]\nport = 'high'": "port is 'high', where a whole number without quotes is expect",
    "[dicom_node]\nport = true": "port is True, where a whole number without quotes is expected",
    "[dicom-node]\nport = 104": "holds 'dicom-node', which is read by nobody",
    "dicom_node = 5": "dicom_node is no table: write a line [dicom_node]",
    "[dicom_node]\ntls = true": "dicom_node.tls is no table",
    "[dicom_node]\nquiet_s = inf": "quiet_s is inf, where 0 or more is expected",
    "[dicom_node]\nae_title = 'A\tB'": "1 to 16 plain characters, not 'A\\tB'",
    "[dicom_node]\npeers = ['PACS']": "written as [[dicom_node.peers]], one table for each",
    "[dicom_node]\nae_title = 'A TITLE THAT IS TOO LONG'": "1 to 16 plain characters",
    "[dicom_node]\nmax_associations = 0": "max_associations is 0, where more than 0 is expected",
    "[dicom_node.peers]\nae_title = 'A'": "written as [[dicom_node.peers]]",
    "[[dicom_node.peers]]\nae_title = 'A'": "peers lacks address",
    "[[dicom_node.peers]]\nae_title = 'A'\naddress = 'pacs'": "an IP address or network",
    "[[dicom_node.destinations]]\nname = 'x'\nhost = 'pacs'": "1 to 16 plain characters, not ''",
    "[[dicom_node.destinations]]\nname = 'x'\nkind = 'ftp'": "'x' is incomplete",
    "[[dicom_node.destinations]]\nname = 'x'\nkind = 'stow'\nurl = 'file:///etc'": "'x' is incomp",
    "[[dicom_node.destinations]]\nname = 'x'\nkind = 'stow'\nurl = 'http://a:b'": "'x' is incompl",
    "[[dicom_node.destinations]]\nname = 'x'\nkind = 'stow'\nurl = 'http://'": "'x' is incomplete",
    "[[dicom_node.destinations]]\nname='x'\nhost='a'\nae_title='A'\nport=-4": "a port from 1 to 65",
    "[[dicom_node.destinations]]\nname='x'\nhost='a'\nae_title='A'\nca='/none'": "ca of 'x' cannot",
    "[[dicom_node.destinations]]\nname='x'\nkind='stow'\nurl='http://a'\n" * 2: "the same name",
    "[dicom_node": "cannot be read as TOML",
}


@pytest.mark.parametrize(("text", "says"), WRONG.items(), ids=list(WRONG.values()))
def test_a_wrong_configuration_is_refused_by_name(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        NodeSettings.from_toml(tmp_path / "node.toml")
    assert says in str(refused.value)


def test_a_configuration_is_read_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(
        "[server]\ndata = 'x'\n[dicom_node]\nport = 104\nquiet_s = 5\n"
        "[[dicom_node.peers]]\nae_title = 'PACS'\naddress = '10.1.2.0/24'\n"
        "[dicom_node.tls]\ncertificate = 'a'\nkey = 'b'\n"
    )
    node = NodeSettings.from_toml(tmp_path / "node.toml")
    assert (node.port, node.quiet_s, node.ae_title) == (104, 5, "DEEPPNEUMONIA")
    assert node.peers == (Peer(ae_title="PACS", address="10.1.2.0/24"),)
    assert node.tls is not None and node.tls.ca == ""


@pytest.mark.parametrize(
    ("address", "fits"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("10.1.3.3", False), ("fe80::1%eth0", False)],
)
def test_a_network_takes_its_own_addresses(address: str, fits: bool) -> None:
    assert Peer(ae_title="PACS", address="10.1.2.0/24").is_at(address) is fits


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"cannot be read as plain text \(FileNotFoundError\)"),
        (b"Bearer gehe\xefm", r"cannot be read as plain text \(UnicodeDecodeError\)"),
        (b"\n", "holds no value of a header"),
        (b"Bearer one\nBearer two\n", "holds no value of a header"),
    ],
    ids=["missing", "not ASCII", "empty", "two lines"],
)
def test_an_authorization_that_could_not_be_sent_is_refused_before_anything_listens(
    content: bytes | None, says: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    (tmp_path / "node.toml").write_text(
        "[[dicom_node.destinations]]\nname = 'web'\nkind = 'stow'\nurl = 'http://a/studies'\n"
        f"authorization_file = '{tmp_path / 'token'}'\n"
    )
    with pytest.raises(ConfigError, match=says) as refused:
        NodeSettings.from_toml(tmp_path / "node.toml")
    assert "gehe" not in str(refused.value) and "Bearer one" not in str(refused.value)
