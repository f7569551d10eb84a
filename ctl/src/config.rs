//! `runvfctl config`: checks and prints the configuration.

use vf::{Config, Host};

use crate::error::Error;

#[derive(clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Check the file, and that its PFs exist on this machine
    Check,
    /// Show the configuration with all defaults
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(host: &Host, command: &Subcommand) -> Result<String, Error> {
    Ok(match command {
        Subcommand::Check => {
            vf::check_config(host)?;
            format!("{} is valid\n", host.config.display())
        }
        Subcommand::Show { json: true } => {
            let config = Config::load(host)?;
            serde_json::to_string_pretty(&config).unwrap_or_default() + "\n"
        }
        Subcommand::Show { json: false } => Config::load(host)?.to_toml(),
    })
}
