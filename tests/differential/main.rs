//! The differential program: it generates bundles, runs each with a reference (runc) and with
//! runvf, and prints every unexplained difference.
//!
//! usage: differential --seed 0..500 --driver cgroupfs --runtime runc=/usr/bin/runc
//!            --runtime runvf=/usr/bin/runvf --runtime crun=/usr/bin/crun
//!
//! The first runtime is the reference, the second is tested, and the others only help to judge a
//! difference. It needs root, and runs on a host with cgroup v2 or in the lab's guest.
//!
//! `generate` makes the case of a seed, `life` runs a case with one runtime, `compare` compares two
//! outcomes, `allowed` has the differences that are right, and `shrink` makes a failing case small.

mod after;
mod allowed;
mod bundle;
mod case;
mod compare;
mod fields;
mod generate;
mod host;
mod life;
mod outcome;
mod outside;
mod patch;
mod random;
mod reaper;
mod report;
mod runtime;
mod shrink;
mod trial;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;

use crate::case::{Case, Driver};
use crate::fields::Fields;
use crate::runtime::Runtime;
use crate::trial::{Failure, Trial};

/// Run generated bundles with a reference runtime and a tested runtime, and print the differences
#[derive(Debug, Parser)]
struct Arguments {
    /// Seeds of the bundles
    #[arg(long, value_parser = parse_range, default_value = "0..100", value_name = "A..B")]
    seed: Range<u64>,
    /// Stop after this time, even if seeds are left
    #[arg(long)]
    seconds: Option<u64>,
    /// Stop after this many failing bundles
    #[arg(long, default_value_t = usize::MAX)]
    failures: usize,
    #[arg(long, value_enum, default_value = "cgroupfs")]
    driver: Driver,
    /// The reference, the tested runtime, and any number of witnesses
    #[arg(long, required = true, value_name = "NAME=PATH")]
    runtime: Vec<Runtime>,
    /// Run saved cases instead of seeds
    #[arg(long, num_args = 1.., value_name = "FILE")]
    case: Vec<PathBuf>,
    /// Folder for the bundle; it is replaced
    #[arg(long, default_value = "/tmp/runvf-differential")]
    folder: PathBuf,
    /// Longest time of one command, in seconds
    #[arg(long, default_value_t = 60)]
    timeout: u64,
    /// Print failing cases without shrinking them
    #[arg(long)]
    no_shrink: bool,
    /// Print the results as JSON, one object per line
    #[arg(long)]
    json: bool,
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let parse = |number: &str| number.parse().map_err(|_| format!("`{number}` is not a number"));
    let (start, end) = text.split_once("..").ok_or("expected A..B")?;
    Ok(parse(start)?..parse(end)?)
}

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some("--life") => live(),
        _ => differ(&Arguments::parse()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("differential: {error}");
        ExitCode::from(2)
    })
}

/// The process of a life: see [`life`].
fn live() -> Result<ExitCode, Box<dyn Error>> {
    let job: life::Job = serde_json::from_reader(io::stdin().lock())?;
    serde_json::to_writer(io::stdout().lock(), &life::run(&job)?)?;
    Ok(ExitCode::SUCCESS)
}

fn differ(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let trial = trial(arguments)?;
    let began = Instant::now();
    let (mut run, mut failed, mut distinct) = (0_u64, 0, BTreeSet::new());
    for (name, case) in cases(arguments, &trial)? {
        let over = arguments.seconds.is_some_and(|limit| began.elapsed().as_secs() >= limit);
        if over || failed >= arguments.failures {
            break;
        }
        run += 1;
        distinct.insert(json!(case).to_string());
        if let Some(failure) = trial.judge(&name, &case)? {
            failed += 1;
            print(&failure, arguments.json);
        }
    }
    let summary = json!({
        "driver": arguments.driver, "seeds": format!("{}..{}", arguments.seed.start, arguments.seed.end),
        "bundles": run, "distinct": distinct.len(), "failures": failed,
        "seconds": began.elapsed().as_secs(),
    });
    println!("{summary}");
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn trial(arguments: &Arguments) -> Result<Trial, Box<dyn Error>> {
    let [reference, tested, witnesses @ ..] = arguments.runtime.as_slice() else {
        return Err("two runtimes are needed: the reference and the tested one".into());
    };
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
        .map_err(|error| format!("this host has no cgroup v2 at /sys/fs/cgroup: {error}"))?;
    fs::create_dir_all(&arguments.folder)?;
    Ok(Trial {
        reference: reference.clone(),
        tested: tested.clone(),
        witnesses: witnesses.to_vec(),
        base: bundle::base(&controllers, arguments.driver),
        driver: arguments.driver,
        folder: arguments.folder.canonicalize()?,
        timeout: Duration::from_secs(arguments.timeout),
        shrinks: !arguments.no_shrink,
    })
}

/// The cases with their names.
fn cases(arguments: &Arguments, trial: &Trial) -> Result<Cases, Box<dyn Error>> {
    if !arguments.case.is_empty() {
        let mut cases = Vec::new();
        for path in &arguments.case {
            let case: Case = serde_json::from_slice(&fs::read(path)?)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            if case.driver.is_none_or(|driver| driver == arguments.driver) {
                cases.push((path.display().to_string(), case));
            }
        }
        return Ok(Box::new(cases.into_iter()));
    }
    let fields = Fields::load(arguments.driver)?;
    let base = trial.base.clone();
    let driver = arguments.driver.name();
    let named = move |seed| (format!("{driver} seed {seed}"), generate::case(seed, &fields, &base));
    Ok(Box::new(arguments.seed.clone().map(named)))
}

type Cases = Box<dyn Iterator<Item = (String, Case)>>;

fn print(failure: &Failure, as_json: bool) {
    if as_json {
        println!("{}", json!(failure));
        return;
    }
    println!("{}:", failure.name);
    println!("  patches {}", json!(failure.case.patches));
    println!("  steps {}", json!(failure.case.steps));
    failure.differences.iter().for_each(|difference| println!("  {difference}"));
    let [reference, tested] = &failure.messages;
    println!("  reference says: {reference}\n  tested says: {tested}");
    for (name, like) in &failure.witnesses {
        println!("  {name} is {like}");
    }
    if failure.unstable {
        println!("  a second run had no difference");
    }
}
