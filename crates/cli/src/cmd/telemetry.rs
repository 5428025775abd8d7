//! Who is told what a server does, besides whoever asks.

use std::path::Path;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config::Telemetry;
use serve::{App, Webhook};

/// What secrets begin with that are written as Standard Webhooks says.
const PREFIX: &str = "whsec_";

/// From now on `app` tells who is to be told.
pub(super) fn tell(app: &App, told: &Telemetry) -> anyhow::Result<()> {
    webhook(told)?.into_iter().for_each(|webhook| app.alert(webhook));
    told.otlp_url.as_deref().map_or(Ok(()), |url| export(app, url))
}

/// Who is told of alerts.
///
/// # Errors
/// If only half of it is said, or the secret cannot be read.
pub(super) fn webhook(told: &Telemetry) -> anyhow::Result<Option<Webhook>> {
    match (&told.alert_url, &told.alert_secret_file) {
        (None, None) => Ok(None),
        (Some(url), Some(file)) => Ok(Some(Webhook { url: url.clone(), secret: secret(file)? })),
        (Some(_), None) => anyhow::bail!("--alert-url: alerts are signed; --alert-secret-file says with what"),
        (None, Some(_)) => anyhow::bail!("--alert-secret-file: there is no --alert-url to which alerts go"),
    }
}

fn secret(path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("--alert-secret-file {}", path.display());
    let text = std::fs::read_to_string(path).with_context(failed)?;
    parsed(&text).with_context(failed)
}

fn parsed(text: &str) -> anyhow::Result<Vec<u8>> {
    let text = text.trim();
    let secret = match text.strip_prefix(PREFIX) {
        Some(rest) => STANDARD.decode(rest).with_context(|| format!("what follows {PREFIX} is no base64"))?,
        None => text.as_bytes().to_vec(),
    };
    anyhow::ensure!(secret.len() >= 16, "a secret needs 16 bytes at least, this one has {}", secret.len());
    Ok(secret)
}

#[cfg(feature = "otel")]
fn export(app: &App, url: &str) -> anyhow::Result<()> {
    let collector = serve::Collector { endpoint: url.to_owned(), ..Default::default() };
    app.export_to(&collector).map_err(|error| anyhow::anyhow!("--otlp-url {url}: {error}"))
}

#[cfg(not(feature = "otel"))]
fn export(_: &App, url: &str) -> anyhow::Result<()> {
    anyhow::bail!("--otlp-url {url}: this build knows no OpenTelemetry; build it with --features otel")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_base64_or_text() {
        for (text, expected) in [
            ("whsec_MDEyMzQ1Njc4OWFiY2RlZg==\n", Some("0123456789abcdef")),
            ("  0123456789abcdef \n", Some("0123456789abcdef")),
            ("too short", None),
            ("", None),
            ("whsec_MDEy", None),
            ("whsec_!!", None),
        ] {
            assert_eq!(parsed(text).ok().as_deref(), expected.map(str::as_bytes), "{text}");
        }
    }
}
