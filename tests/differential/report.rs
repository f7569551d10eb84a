//! Turns what the probe, the kernel and the runtimes print into lines that are comparable: values
//! that differ from run to run are masked.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::outcome::Line;

/// The last line of the probe's report.
pub(crate) const END: &str = "end";

/// The fields of /proc/PID/status that a runtime determines.
const STATUS: [&str; 19] = [
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "SigBlk",
    "SigIgn",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "Speculation_Store_Bypass",
    "Cpus_allowed_list",
    "Mems_allowed_list",
    "THP_enabled",
    "CoreDumping",
];

/// The lines of the probe's report. The mounts are sorted by path, because masked paths are
/// independent of each other.
pub(crate) fn of_probe(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut mountinfo = Vec::new();
    for line in text.lines().filter(|line| *line != END) {
        let line = Line::parse(line);
        match line.key.as_str() {
            "mountinfo" if line.value.contains(" - ") => mountinfo.push(line.value),
            "status" => lines.extend(status(&line.value)),
            "limits" => lines.extend(limit(&line.value)),
            "keyring" => lines.push(Line::new("keyring", line.value)),
            key if key.starts_with("fd ") => lines.push(descriptor(line)),
            key if key.starts_with("read /proc/self/timens") => {
                lines.push(Line::new(line.key, squeezed(&line.value)));
            }
            // What a startContainer hook wrote, in one line.
            "read /tmp/hook" if line.value.starts_with("hook") => {
                lines.extend(of_hooks(&line.value.replace("\\n", "\n"), &|link| {
                    link.split(':').next().unwrap_or_default().to_owned()
                }));
            }
            _ => lines.push(line),
        }
    }
    lines.extend(mounts(mountinfo.iter().map(String::as_str)));
    lines
}

fn status(text: &str) -> Option<Line> {
    let (name, value) = text.split_once(':')?;
    let value = match name {
        "SigIgn" => own_signals(value.trim()),
        _ => squeezed(value),
    };
    STATUS.contains(&name).then(|| Line::new(format!("status {name}"), value))
}

/// A mask of signals without the two that belong to the C library. glibc's posix_spawn(3)
/// starts the runtimes here, and lets the child ignore them.
fn own_signals(mask: &str) -> String {
    const OF_THE_C_LIBRARY: u64 = 0b11 << 31;
    match u64::from_str_radix(mask, 16) {
        Ok(bits) => format!("{:016x}", bits & !OF_THE_C_LIBRARY),
        Err(_) => mask.to_owned(),
    }
}

/// A line of /proc/PID/limits: the name has at most 26 columns.
fn limit(text: &str) -> Option<Line> {
    let (name, values) = text.split_at_checked(26)?;
    (name.trim() != "Limit").then(|| Line::new(format!("limit {}", name.trim()), squeezed(values)))
}

fn descriptor(line: Line) -> Line {
    // `pipe:[123] 01 10600 0:0`
    let value = match line.value.split_once(":[").zip(line.value.split_once(']')) {
        Some(((kind, _), (_, rest))) => format!("{kind}{rest}"),
        None => line.value,
    };
    Line { value, ..line }
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lines of /proc/PID/mountinfo without ids and peer group numbers, sorted by mount point. Mounts
/// at the same point keep their order.
pub(crate) fn mounts<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Line> {
    let mut all: Vec<Line> = lines.filter_map(mount).collect();
    all.sort_by(|one, other| one.key.cmp(&other.key));
    let mut seen = BTreeMap::new();
    for line in &mut all {
        let count = seen.entry(line.key.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            line.key = format!("{} #{count}", line.key);
        }
    }
    all
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn mount(line: &str) -> Option<Line> {
    let (own, system) = line.split_once(" - ")?;
    let mut own = own.split(' ').skip(3);
    let (root, point, options) = (own.next()?, own.next()?, own.next()?);
    let propagation: Vec<&str> =
        own.map(|field| field.split(':').next().unwrap_or_default()).collect();
    let mut system = system.split(' ');
    let (kind, source, super_options) = (system.next()?, system.next()?, system.next()?);
    let kind_is_net = kind == "nsfs";
    let root = if kind_is_net { "" } else { root };
    let propagation = propagation.join(" ");
    let value = format!("{kind} {source} {root} {options} {super_options} {propagation}");
    Some(Line::new(format!("mount {point}"), value.trim_end()))
}

/// The lines of `state`. The process id differs from run to run.
pub(crate) fn of_state(text: &str) -> Vec<Line> {
    let Ok(Value::Object(members)) = serde_json::from_str(text) else {
        return vec![Line::new("state", "not a JSON object")];
    };
    let line = |(name, value): (String, Value)| {
        let value = match (name.as_str(), &value) {
            ("pid", pid) => if *pid == 0 { "none" } else { "some" }.to_owned(),
            _ => value.to_string(),
        };
        Line::new(format!("state {name}"), value)
    };
    // The creation time differs; the version is the runtime's own.
    members
        .into_iter()
        .filter(|(name, _)| !["created", "ociVersion"].contains(&name.as_str()))
        .map(line)
        .collect()
}

/// What hooks printed, with the process id masked. `namespaces` maps links such as `net:[1]` to
/// names.
pub(crate) fn of_hooks(text: &str, name_of: &dyn Fn(&str) -> String) -> Vec<Line> {
    let mut number = 0;
    let lines = text.lines().map(Line::parse).map(|line| {
        if line.key == "hook" {
            number += 1;
        }
        let value = match line.key.as_str() {
            "hook state" => {
                let state = of_state(&line.value).into_iter();
                state
                    .map(|line| format!("{}={}", line.key, line.value))
                    .collect::<Vec<_>>()
                    .join(" ")
            }
            key if key.starts_with("hook ns ") => name_of(&line.value),
            _ => line.value,
        };
        Line::new(line.key.replacen("hook", &format!("hook {number}"), 1), value)
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_masked_and_sorted() {
        let report = "status: Umask:\t0022\nstatus: Pid:\t7\nstatus: SigIgn:\t0000000180001000\n\
                      limits: Limit                     Soft Limit           Hard Limit           Units     \n\
                      limits: Max open files            1000                 1024                 files     \n\
                      fd 1: pipe:[123] 01 10600 0:0\nfd 0: /dev/null 0100000 20666 0:0\n\
                      mountinfo: 9 8 0:4 / /b rw shared:5 - tmpfs x rw,size=8k\n\
                      mountinfo: 10 8 0:4 /s /a ro - ext4 /dev/vda rw\nend\n";
        let lines: Vec<String> = of_probe(report)
            .into_iter()
            .map(|line| format!("{}: {}", line.key, line.value))
            .collect();
        let expected = [
            "status Umask: 0022",
            "status SigIgn: 0000000000001000",
            "limit Max open files: 1000 1024 files",
            "fd 1: pipe 01 10600 0:0",
            "fd 0: /dev/null 0100000 20666 0:0",
            "mount /a: ext4 /dev/vda /s ro rw",
            "mount /b: tmpfs x / rw rw,size=8k shared",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn mounts_at_one_point_keep_their_order() {
        let stacked = ["1 2 0:1 / /x rw - proc proc rw", "3 1 0:2 / /x ro - tmpfs tmpfs rw"];
        let lines = mounts(stacked.into_iter());
        assert_eq!(lines[0].key, "mount /x");
        assert!(lines[1].key == "mount /x #2" && lines[1].value.starts_with("tmpfs"));
    }

    #[test]
    fn a_state_has_no_pid_and_no_time() {
        let lines = of_state(r#"{"id":"c","pid":5,"created":"now","status":"running"}"#);
        let lines: Vec<String> =
            lines.iter().map(|line| format!("{}={}", line.key, line.value)).collect();
        assert_eq!(lines, ["state id=\"c\"", "state pid=some", "state status=\"running\""]);
    }
}
