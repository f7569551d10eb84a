//! `ps`: the processes of a container's cgroup, as pids or as the rows of ps(1) that are theirs.

use std::process::{Command, Stdio};

use super::stdout::print;
use crate::cli::{self, Format, Global};
use crate::container::Container;
use crate::container::cgroup;
use crate::error::Error;

pub(crate) fn ps(global: &Global, options: &cli::Ps) -> Result<(), Error> {
    let container = Container::load(global, &options.id)?;
    let pids: Vec<i32> =
        cgroup::pids(&cgroup::manager(&container)?).iter().map(|pid| pid.as_raw()).collect();
    match options.format {
        Format::Json => print(&format!("{pids:?}").replace(' ', "")),
        Format::Table => print(&rows(&table(&options.arguments)?, &pids)?),
    }
}

fn table(arguments: &[String]) -> Result<String, Error> {
    let mut ps = Command::new("ps");
    match arguments {
        [] => ps.arg("-ef"),
        arguments => ps.args(arguments),
    };
    let output = ps.stderr(Stdio::inherit()).output().map_err(Error::file("run", "ps"))?;
    if !output.status.success() {
        return Err(Error::Usage { problem: format!("ps: {}", output.status) });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn rows(table: &str, pids: &[i32]) -> Result<String, Error> {
    let mut lines = table.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_ascii_whitespace().position(|name| name == "PID");
    let problem = || "ps prints no PID column with these arguments".to_owned();
    let column = column.ok_or_else(|| Error::Usage { problem: problem() })?;
    let theirs = lines.filter(|line| {
        let pid = line.split_ascii_whitespace().nth(column).and_then(|cell| cell.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    });
    Ok(std::iter::once(head).chain(theirs).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_of_the_container_are_left() {
        let table = "UID   PID  PPID CMD\nroot    1     0 init\nroot   77     1 sh -c 1\n";
        assert_eq!(rows(table, &[77]).unwrap(), "UID   PID  PPID CMD\nroot   77     1 sh -c 1");
        assert!(rows("CMD\nsh\n", &[1]).is_err());
    }
}
