//! The command line of `install` and `uninstall`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Install,
    Uninstall,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Show the changes as a unified diff, without making them
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Write the configuration even if the engine is not installed; replace or remove runvf's files
    /// even if they were edited
    #[arg(long)]
    pub(super) force: bool,
    /// Restart containerd or CRI-O, which read their configuration only when they start
    #[arg(long)]
    pub(super) restart: bool,
    /// Change the files of the offline system below this directory; no daemon is contacted
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(super) root: PathBuf,
    /// Docker: make runvf the default runtime. The argument exists for `install` only.
    #[arg(skip)]
    pub(super) default: bool,
}

impl Options {
    pub(crate) fn with_default(self, default: bool) -> Self {
        Self { default, ..self }
    }

    /// The options of a check: with `force`, a file that was edited counts as a change, not as an
    /// error.
    pub(super) fn for_check() -> Self {
        Self {
            dry_run: true,
            json: false,
            force: true,
            restart: false,
            root: PathBuf::new(),
            default: false,
        }
    }
}
