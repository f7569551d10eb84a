//! The part of `make bench` that runs in the guest: it reads a group of cases from standard input,
//! and writes the measurements of their turns to standard output, both as JSON.

mod error;
mod fake_host;
mod kernel_floor;
mod netlink;
mod process;

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::time::Instant;

use lab::bench_protocol::{Case, Group, Timed, Turn, Turns};

use crate::error::Result;
use crate::fake_host::FakeHosts;
use crate::kernel_floor::{PreparedFloor, perform_concurrently};

fn main() -> ExitCode {
    match run_group() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-guest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_group() -> Result<()> {
    let group: Group = serde_json::from_reader(io::stdin().lock())?;
    let mut hosts = FakeHosts::default();
    let mut turns = Turns::from_iter(group.cases.iter().map(|case| (case.name.clone(), vec![])));
    for round in 0..group.warm_up + group.turns {
        for case in &group.cases {
            let turn =
                run_turn(case, &mut hosts).map_err(|error| format!("{}: {error}", case.name))?;
            if round >= group.warm_up {
                turns.entry(case.name.clone()).or_default().push(turn);
            }
        }
    }
    Ok(serde_json::to_writer(io::stdout().lock(), &BTreeMap::from_iter(turns))?)
}

fn run_turn(case: &Case, hosts: &mut FakeHosts) -> Result<Turn> {
    process::run_script(&case.before)?;
    let turn = match &case.timed {
        Timed::Command { argv, stdin } => process::time_command(argv, stdin.as_deref())?,
        Timed::Floor(floor) => {
            let floor = PreparedFloor::new(floor)?;
            time(|| floor.perform())?
        }
        Timed::Floors { floors, concurrent } => {
            let floors: Vec<_> = floors.iter().map(PreparedFloor::new).collect::<Result<_>>()?;
            time(|| match concurrent {
                true => perform_concurrently(&floors),
                false => floors.iter().try_for_each(PreparedFloor::perform),
            })?
        }
        Timed::Claim { vfs, claimed } => {
            let host = hosts.get(*vfs, *claimed)?;
            time(|| host.claim())?
        }
    };
    process::run_script(&case.after)?;
    Ok(turn)
}

fn time(work: impl FnOnce() -> Result<()>) -> Result<Turn> {
    let began = Instant::now();
    work()?;
    Ok(Turn { nanoseconds: process::nanoseconds_since(began), peak: 0 })
}
