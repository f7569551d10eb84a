//! `runvfctl config`: what the configuration says, and whether it can be so on this machine.

use clap::Subcommand;
use vf::{Config, Host};

use crate::Error;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Check the file, and that its PFs are on this machine
    Check,
    /// Show the configuration with everything that the file leaves out
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(host: &Host, verb: &Verb) -> Result<String, Error> {
    Ok(match verb {
        Verb::Check => {
            vf::check_config(host)?;
            format!("{} is fine\n", host.config.display())
        }
        Verb::Show { json: true } => {
            let config = Config::load(host)?;
            serde_json::to_string_pretty(&config).unwrap_or_default() + "\n"
        }
        Verb::Show { json: false } => Config::load(host)?.to_toml(),
    })
}
