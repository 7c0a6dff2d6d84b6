//! Certificates, keys and the administrator's token of one test cluster.
//!
//! Invariant: every cluster has its own, generated at its start and gone with its
//! folder; nothing secret lies in the repository.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use std::path::{Path, PathBuf};

/// Files with the credentials of a cluster.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) authority: PathBuf,
    pub(crate) server_certificate: PathBuf,
    pub(crate) server_key: PathBuf,
    pub(crate) account_private_key: PathBuf,
    pub(crate) account_public_key: PathBuf,
    pub(crate) token_file: PathBuf,
    pub(crate) admin_token: String,
}

impl Credentials {
    /// Generates all credentials into `folder`.
    pub(crate) fn generate(folder: &Path) -> Self {
        let authority_key = key();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "rig authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_certificate = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);

        let server_key = key();
        let names = ["localhost", "127.0.0.1", "kubernetes.default.svc"].map(String::from);
        let mut server = CertificateParams::new(names).unwrap();
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_certificate = server.signed_by(&server_key, &issuer).unwrap();

        let account_key = key();
        // Unguessable enough for a loopback test server, and needs no further crate.
        let admin_token = hexadecimal(&key().public_key_raw()[1..33]);
        let write = |name: &str, content: &str| {
            let path = folder.join(name);
            std::fs::write(&path, content).expect("write a credential");
            path
        };
        Self {
            authority: write("ca.crt", &authority_certificate.pem()),
            server_certificate: write("server.crt", &server_certificate.pem()),
            server_key: write("server.key", &server_key.serialize_pem()),
            account_private_key: write("accounts.key", &account_key.serialize_pem()),
            account_public_key: write("accounts.pub", &account_key.public_key_pem()),
            token_file: write("tokens.csv", &format!("{admin_token},admin,admin,system:masters\n")),
            admin_token,
        }
    }
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("generate a key")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
