//! What metrics and page show: the host at one time, and what was counted until then.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use vf::{Claim, Config, Host, PfStatus, VfStatus};

use crate::history::{History, INTERVAL};
use crate::totals::Totals;

#[derive(Debug)]
pub(crate) struct View {
    pub(crate) at: SystemTime,
    /// How long the look took.
    pub(crate) took: Duration,
    pub(crate) pfs: Vec<PfStatus>,
    pub(crate) tenants: Vec<TenantUse>,
    pub(crate) history: History,
    pub(crate) totals: Totals,
    /// The attached VFs that the monitor watches, by PCI address.
    pub(crate) watched: BTreeSet<String>,
}

/// A tenant of the configuration, and how many VFs it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantUse {
    pub(crate) name: String,
    pub(crate) claims: usize,
    /// Its quota. `None`: it has none.
    pub(crate) max: Option<usize>,
}

impl View {
    pub(crate) fn vfs(&self) -> impl Iterator<Item = (&PfStatus, &VfStatus)> {
        self.pfs.iter().flat_map(|pf| pf.vfs.iter().map(move |vf| (pf, vf)))
    }

    /// How long a VF may not have been promiscuous, in all gaps. A present gap counts until now.
    pub(crate) fn blind_time(&self, claim: &Claim) -> Duration {
        let begin = claim.open_gap().and_then(|gap| humantime::parse_rfc3339(&gap.since).ok());
        // The clock may have been set back.
        let present = begin.and_then(|begin| self.at.duration_since(begin).ok());
        Duration::from_millis(claim.blind.milliseconds) + present.unwrap_or_default()
    }

    /// Whether no event of an attached VF would reach the monitor.
    pub(crate) fn is_unwatched(&self, vf: &VfStatus) -> bool {
        vf.state == "attached" && !self.watched.contains(&vf.vf)
    }
}

/// Makes views of a host.
#[derive(Debug)]
pub(crate) struct Viewer {
    host: Host,
    history: History,
    /// When the history got its last points.
    recorded: Option<Instant>,
}

impl Viewer {
    pub(crate) fn new(host: Host) -> Self {
        Self { host, history: History::default(), recorded: None }
    }

    /// Looks at the whole host. Call it on a thread that may block.
    ///
    /// # Errors
    /// The errors of [`vf::status`].
    pub(crate) fn look(&mut self) -> Result<View, vf::Error> {
        let began = Instant::now();
        let pfs = vf::status(&self.host)?;
        // Looks in between, after a change, must not make the points of the history uneven.
        if self.recorded.is_none_or(|recorded| began >= recorded + INTERVAL - SLACK) {
            self.history.record(began, &pfs);
            self.recorded = Some(began);
        }
        let tenants = tenants(&self.host, &pfs);
        Ok(View {
            at: SystemTime::now(),
            took: began.elapsed(),
            pfs,
            tenants,
            history: self.history.clone(),
            totals: Totals::default(),
            watched: BTreeSet::new(),
        })
    }
}

/// A timer may fire this much early.
const SLACK: Duration = Duration::from_millis(100);

/// Without a valid configuration there are no tenants: no container gets a VF then.
fn tenants(host: &Host, pfs: &[PfStatus]) -> Vec<TenantUse> {
    let tenants = Config::load(host).map(|config| config.tenants).unwrap_or_default();
    let count = |name: &str| {
        let claims = pfs.iter().flat_map(|pf| &pf.vfs).filter_map(|vf| vf.claim.as_ref());
        claims.filter(|claim| claim.tenant.as_deref() == Some(name)).count()
    };
    let in_use = |tenant: vf::Tenant| TenantUse {
        claims: count(&tenant.name),
        max: tenant.max,
        name: tenant.name,
    };
    tenants.into_iter().map(in_use).collect()
}
