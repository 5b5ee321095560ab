//! `ringproof keys create|list|revoke`: works on the store directly, whether or not the server runs.
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::ConfigFile;
use crate::api::key;
use crate::config::{self, Config};
use crate::model::UnixMillis;
use crate::store::{ApiKey, Scope, Store, StoreError, StoreOptions};
use crate::telemetry::{entropy, wallclock};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key; its text is shown this once
    Create {
        #[command(flatten)]
        file: ConfigFile,
        /// What you call it
        #[arg(long)]
        name: String,
        /// What it may do: verifications, enrollments, blocks, hooks, admin (repeatable)
        #[arg(long = "scope", required = true, value_name = "SCOPE")]
        scopes: Vec<Scope>,
        /// Profiles whose rows it sees (repeatable; default: every profile of the configuration)
        #[arg(long = "profile", value_name = "PROFILE")]
        profiles: Vec<String>,
        /// Days until it expires (default: never)
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
        expires_in_days: Option<u32>,
        #[arg(long)]
        json: bool,
    },
    /// List the keys; their texts are not kept
    List {
        #[command(flatten)]
        file: ConfigFile,
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key by its id (key_…)
    Revoke {
        #[command(flatten)]
        file: ConfigFile,
        id: String,
    },
}

#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    #[error("store.url: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Entropy(#[from] crate::telemetry::NoEntropy),
    #[error("--profile: the configuration has no profile {name:?}; it has {known}")]
    Profile { name: String, known: String },
    #[error("no key has the id {0:?}; see ringproof keys list")]
    Unknown(String),
}

pub(super) fn run(command: KeysCommand) -> ExitCode {
    match super::block_on(work(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}

async fn work(command: KeysCommand) -> Result<(), KeysError> {
    match command {
        KeysCommand::Create {
            file,
            name,
            scopes,
            profiles,
            expires_in_days,
            json,
        } => {
            let config = config::load(&file.config)?;
            let profiles = known_profiles(&config, profiles)?;
            let store = open(&config).await?;
            let (made, text) = create(&store, name, scopes, profiles, expires_in_days).await?;
            store.close().await?;
            if json {
                println!("{}", serde_json::json!({"id": made.id, "key": text}));
            } else {
                println!(
                    "{text}\n\n{} can do: {}. The key is not shown again.",
                    made.id,
                    scope_words(&made)
                );
            }
        }
        KeysCommand::List { file, json } => {
            let store = open(&config::load(&file.config)?).await?;
            let keys = store.keys().await?;
            store.close().await?;
            list(&keys, json);
        }
        KeysCommand::Revoke { file, id } => {
            let store = open(&config::load(&file.config)?).await?;
            let known = store.key_revoke(&id, wallclock()).await?;
            store.close().await?;
            if !known {
                return Err(KeysError::Unknown(id));
            }
            println!("{id} is revoked");
        }
    }
    Ok(())
}

/// Opens the store without an outbox renderer of its own: keys write no webhooks.
async fn open(config: &Config) -> Result<Store, StoreError> {
    let render = crate::api::render_webhook(&config.server.public_url);
    Store::open(StoreOptions::new(&config.store.url, render)).await
}

/// Makes a key and stores its hash; the text goes to whoever asked, once.
pub(super) async fn create(
    store: &Store,
    label: String,
    scopes: Vec<Scope>,
    profiles: Vec<String>,
    expires_in_days: Option<u32>,
) -> Result<(ApiKey, String), StoreError> {
    let mut entropy = entropy().map_err(|e| StoreError::Unavailable(e.to_string()))?;
    let now = wallclock();
    let made = key::generate(&mut entropy);
    let row = ApiKey {
        id: format!("key_{}", &entropy.token()[..16]),
        label,
        scopes,
        profiles,
        created_at: now,
        expires_at: expires_in_days.map(|days| now.plus(Duration::from_secs(u64::from(days) * 86_400))),
        revoked_at: None,
        last_used_at: None,
    };
    store.key_create(row.clone(), made.hash).await?;
    Ok((row, made.text.into_inner()))
}

fn known_profiles(config: &Config, asked: Vec<String>) -> Result<Vec<String>, KeysError> {
    if asked.is_empty() {
        return Ok(config.profiles.keys().cloned().collect());
    }
    match asked.iter().find(|name| !config.profiles.contains_key(*name)) {
        None => Ok(asked),
        Some(name) => Err(KeysError::Profile {
            name: name.clone(),
            known: config.profiles.keys().cloned().collect::<Vec<_>>().join(", "),
        }),
    }
}

fn scope_words(key: &ApiKey) -> String {
    key.scopes
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn list(keys: &[ApiKey], json: bool) {
    let day =
        |at: Option<UnixMillis>| at.map_or_else(|| "-".to_owned(), |at| at.to_rfc3339()[..10].to_owned());
    if json {
        let rows: Vec<_> = keys
            .iter()
            .map(|k| {
                serde_json::json!({
                    "id": k.id, "name": k.label, "scopes": scope_words(k), "profiles": k.profiles,
                    "created_at": k.created_at.to_rfc3339(),
                    "expires_at": k.expires_at.map(UnixMillis::to_rfc3339),
                    "revoked_at": k.revoked_at.map(UnixMillis::to_rfc3339),
                    "last_used_at": k.last_used_at.map(UnixMillis::to_rfc3339),
                })
            })
            .collect();
        println!("{}", serde_json::Value::Array(rows));
        return;
    }
    println!(
        "{:<22} {:<20} {:<28} {:<11} {:<11} {:<11} STATE",
        "ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "LAST USED"
    );
    let now = wallclock();
    for key in keys {
        let state = match (key.revoked_at, key.is_valid(now)) {
            (Some(_), _) => "revoked",
            (None, true) => "valid",
            (None, false) => "expired",
        };
        println!(
            "{:<22} {:<20} {:<28} {:<11} {:<11} {:<11} {state}",
            key.id,
            key.label,
            scope_words(key),
            day(Some(key.created_at)),
            day(key.expires_at),
            day(key.last_used_at)
        );
    }
}
