//! Prints what a process in a container can observe, as lines `KEY: VALUE`, and then `end`.
//!
//! usage: probe init        print it, then wait for a signal and exit with 128 + its number
//!        probe hook FILE   append to FILE what a hook can observe
//!        probe …           print it and exit
//!
//! It is one file without dependencies, because `build.rs` gives it to rustc. The differential
//! program masks values that differ between runs. The system calls have their x86-64 numbers.

// The start-up code of the standard library would ignore SIGPIPE and open closed standard streams.
#![no_main]

use std::ffi::{CString, c_char, c_int, c_long, c_ulong};
use std::fmt::{Display, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::net::UdpSocket;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn prctl(option: c_int, ...) -> c_int;
    fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
    fn sigprocmask(how: c_int, set: *const [u64; 16], old: *mut [u64; 16]) -> c_int;
    fn pause() -> c_int;
    fn _exit(status: c_int) -> !;
    fn getpid() -> c_int;
    fn getsid(pid: c_int) -> c_int;
    fn getpgrp() -> c_int;
    fn umask(mask: u32) -> u32;
    fn mknod(path: *const c_char, mode: u32, device: c_ulong) -> c_int;
    fn uname(names: *mut [[u8; 65]; 6]) -> c_int;
}

/// The lines of the report.
struct Report(String);

impl Report {
    fn line(&mut self, key: impl Display, value: impl Display) {
        // A line is one value, even if that contains line breaks.
        let value = value.to_string().replace('\n', "\\n");
        let _ = writeln!(self.0, "{key}: {value}");
    }

    /// A line with the content of a file, or the error.
    fn file(&mut self, path: &str) {
        let read = fs::read(path);
        self.line(format!("read {path}"), read.map_or_else(error, |bytes| text(&bytes)));
    }
}

/// The name of an error that does not depend on the language or the library.
fn error(error: io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => format!("error {number}"),
        None => format!("error {:?}", error.kind()),
    }
}

fn done<T>(result: io::Result<T>) -> String {
    result.map_or_else(error, |_| "done".into())
}

fn last<T>(status: c_long, value: impl FnOnce() -> T) -> io::Result<T> {
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(value()) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches(['\n', '\0']).to_owned()
}

#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    let arguments: Vec<_> = std::env::args_os().collect();
    let is = |at: usize, name: &str| arguments.get(at).is_some_and(|given| given == name);
    if is(1, "hook") {
        return hook(&arguments);
    }
    let mut report = Report(String::new());
    process(&mut report);
    kernel_settings(&mut report);
    files(&mut report);
    attempts(&mut report);
    report.0 += "end\n";
    if is(1, "init") {
        // Before the report, because its reader then sends a signal.
        handle_signals();
    }
    let printed = io::stdout().write_all(report.0.as_bytes());
    if is(1, "init") && printed.is_ok() {
        wait_for_signal();
    }
    0
}

extern "C" fn end(number: c_int) {
    // SAFETY: `_exit` is safe in a signal handler.
    unsafe { _exit(128 + number) }
}

fn handle_signals() {
    // SAFETY: the set is as large as the C library's; the handler only calls `_exit`.
    unsafe {
        for number in [1, 2, 10, 12, 15, 35, 64] {
            signal(number, end);
        }
        sigprocmask(2, &[0; 16], std::ptr::null_mut());
    }
}

fn wait_for_signal() -> ! {
    loop {
        // SAFETY: it has no arguments.
        unsafe { pause() };
    }
}

/// Appends arguments, environment, working directory, namespaces and the container's state.
fn hook(arguments: &[std::ffi::OsString]) -> c_int {
    let mut report = Report(String::new());
    let Some(log) = arguments.get(2) else { return 9 };
    report.line("hook", format!("{:?}", &arguments[3..]));
    for (name, value) in std::env::vars_os() {
        report.line("hook env", format!("{name:?}={value:?}"));
    }
    report.line("hook cwd", fs::read_link("/proc/self/cwd").map_or_else(error, shown));
    for kind in ["mnt", "net", "pid", "uts"] {
        let link = fs::read_link(format!("/proc/self/ns/{kind}"));
        report.line(format!("hook ns {kind}"), link.map_or_else(error, shown));
    }
    let mut state = Vec::new();
    let read = io::stdin().take(1 << 20).read_to_end(&mut state);
    report.line("hook state", read.map_or_else(error, |_| text(&state)));
    let file = OpenOptions::new().create(true).append(true).open(log);
    match file.and_then(|mut file| file.write_all(report.0.as_bytes())) {
        // The exit status is an argument, so that a hook can fail.
        Ok(()) => arguments.get(3).and_then(|code| code.to_str()?.parse().ok()).unwrap_or(0),
        Err(_) => 9,
    }
}

fn shown(path: std::path::PathBuf) -> String {
    path.display().to_string()
}

/// The process itself.
fn process(report: &mut Report) {
    for key in ["status", "limits"] {
        let path = format!("/proc/self/{key}");
        match fs::read_to_string(&path) {
            Ok(text) => text.lines().for_each(|line| report.line(key, line)),
            Err(failed) => report.line(key, error(failed)),
        }
    }
    for name in [
        "oom_score_adj",
        "coredump_filter",
        "timerslack_ns",
        "personality",
        "loginuid",
        "uid_map",
        "gid_map",
        "setgroups",
        "attr/current",
        "cgroup",
        "timens_offsets",
    ] {
        report.file(&format!("/proc/self/{name}"));
    }
    for (index, argument) in std::env::args_os().enumerate() {
        report.line(format!("argument {index}"), text(argument.as_bytes()));
    }
    let environment = std::env::vars_os()
        .map(|(name, value)| format!("{}={}", text(name.as_bytes()), text(value.as_bytes())));
    for (index, variable) in environment.enumerate() {
        report.line(format!("env {index}"), variable);
    }
    report.line("cwd", std::env::current_dir().map_or_else(error, shown));
    descriptors(report);
    // SAFETY: these calls take and return numbers.
    unsafe {
        let own = getpid();
        report.line("session leader", getsid(0) == own);
        report.line("group leader", getpgrp() == own);
        let mask = umask(0);
        umask(mask);
        report.line("umask", format!("{mask:04o}"));
    }
}

fn descriptors(report: &mut Report) {
    // Its own descriptor is closed again when the links are read.
    let numbers: Vec<_> = match fs::read_dir("/proc/self/fd") {
        Ok(found) => found.flatten().map(|entry| entry.file_name()).collect(),
        Err(failed) => return report.line("fd", error(failed)),
    };
    for number in numbers {
        let number = number.to_string_lossy().into_owned();
        let path = format!("/proc/self/fd/{number}");
        let Ok(target) = fs::read_link(&path) else { continue };
        let flags = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = flags.lines().find_map(|line| line.strip_prefix("flags:")).map(str::trim);
        let owner = fs::metadata(&path).map(|found| (found.mode(), found.uid(), found.gid()));
        let owner = owner.map_or_else(error, |(mode, uid, gid)| format!("{mode:o} {uid}:{gid}"));
        let flags = flags.unwrap_or_default();
        report.line(format!("fd {number}"), format!("{} {flags} {owner}", target.display()));
    }
}

/// What only system calls report.
fn kernel_settings(report: &mut Report) {
    for (name, option) in [
        ("parent death signal", 2),
        ("dumpable", 3),
        ("keep capabilities", 7),
        ("seccomp", 21),
        ("securebits", 27),
        ("subreaper", 37),
        ("no new privileges", 39),
        ("thp disabled", 42),
    ] {
        let mut value: c_int = 0;
        // SAFETY: the first and sixth option write a number through the pointer; the others ignore
        // their arguments, which must be 0 for some.
        let status = unsafe {
            match option {
                2 | 37 => prctl(option, &raw mut value),
                _ => prctl(option, 0 as c_long, 0 as c_long, 0 as c_long, 0 as c_long),
            }
        };
        let value = if option == 2 || option == 37 { value } else { status };
        report.line(name, last(status.into(), || value).map_or_else(error, |it| it.to_string()));
    }
    // SAFETY: these calls take numbers.
    let calls = unsafe {
        [
            ("scheduler", syscall(145, 0)),
            ("priority", syscall(140, 0, 0)),
            ("io priority", syscall(252, 1, 0)),
        ]
    };
    for (name, value) in calls {
        report.line(name, last(value, || value).map_or_else(error, |it| it.to_string()));
    }
    let mut description = [0_u8; 256];
    // SAFETY: keyctl(KEYCTL_DESCRIBE) writes at most the number of bytes that it gets.
    let length = unsafe { syscall(250, 6, -3, description.as_mut_ptr(), description.len()) };
    report.line("keyring", last(length, || text(&description)).map_or_else(error, first_line));
    let (mut mode, mut nodes): (c_int, [u64; 16]) = (0, [0; 16]);
    // SAFETY: get_mempolicy writes a number, and at most the number of bits that it gets.
    let got = unsafe { syscall(239, &raw mut mode, nodes.as_mut_ptr(), 1024, 0, 0) };
    let policy = last(got, || format!("{mode} {:x}", nodes[0]));
    report.line("memory policy", policy.unwrap_or_else(error));
    namespace_settings(report);
}

/// Settings of the uts, network and ipc namespaces.
fn namespace_settings(report: &mut Report) {
    let mut names = [[0; 65]; 6];
    // SAFETY: `uname` fills the six fields of the struct.
    unsafe { uname(&raw mut names) };
    let name = |at: usize| text(names[at].split(|byte| *byte == 0).next().unwrap_or_default());
    report.line("hostname", name(1));
    report.line("domainname", name(5));
    for path in [
        "net/ipv4/ip_forward",
        "net/ipv4/ip_unprivileged_port_start",
        "net/ipv4/ping_group_range",
        "kernel/msgmax",
        "kernel/shmmax",
        "kernel/shm_rmid_forced",
        "fs/mqueue/msg_max",
    ] {
        report.file(&format!("/proc/sys/{path}"));
    }
    let sent = UdpSocket::bind("127.0.0.1:0").and_then(|it| it.connect(it.local_addr()?));
    report.line("loopback", done(sent));
}

fn first_line(text: String) -> String {
    text.split('\0').next().unwrap_or_default().to_owned()
}

/// Mounts, files and devices.
fn files(report: &mut Report) {
    match fs::read_to_string("/proc/self/mountinfo") {
        Ok(text) => text.lines().for_each(|line| report.line("mountinfo", line)),
        Err(failed) => report.line("mountinfo", error(failed)),
    }
    list(report, Path::new("/"), 0);
    report.file("/tmp/hook");
    for path in ["/sys/class/net/lo/flags", "/sys/fs/cgroup/cgroup.controllers"] {
        report.file(path);
    }
}

/// The folders that the bundle has or that a runtime fills.
const OWN_FOLDERS: [&str; 8] =
    ["/dev", "/data", "/device", "/new", "/volume", "/tmp", "/home", "/a"];

/// Lists a folder. Deep folders and the kernel's own file systems have too many files.
fn list(report: &mut Report, folder: &Path, depth: u32) {
    // A volume can be the host's procfs, which changes all the time.
    if fs::symlink_metadata(folder.join("thread-self")).is_ok() {
        return report.line(format!("list {}", folder.display()), "procfs");
    }
    let mut entries: Vec<_> = match fs::read_dir(folder) {
        Ok(found) => found.flatten().map(|entry| entry.path()).collect(),
        Err(failed) => return report.line(format!("list {}", folder.display()), error(failed)),
    };
    entries.sort();
    for path in entries {
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        let kind = found.file_type();
        let mut line = format!("{:o} {}:{}", found.mode(), found.uid(), found.gid());
        if kind.is_symlink() {
            line = fs::read_link(&path).map_or_else(error, shown);
        } else if kind.is_char_device() || kind.is_block_device() {
            let _ = write!(line, " device {:x}", found.rdev());
        }
        report.line(format!("file {}", path.display()), line);
        // Without a mount namespace, this is the root file system of the host.
        let own = folder != Path::new("/") || OWN_FOLDERS.iter().any(|it| path == Path::new(it));
        if kind.is_dir() && own && depth < 3 {
            list(report, &path, depth + 1);
        }
    }
}

/// What the process may read, write and create.
fn attempts(report: &mut Report) {
    for path in [
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/proc/acpi",
        "/proc/scsi",
        "/proc/sys",
        "/proc/asound",
        "/sys/firmware",
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/domainname",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/irq",
        "/proc/bus",
        "/proc/fs",
        "/data/file",
        "/data/folder",
        "/etc/passwd",
        "/sys/kernel/profiling",
        "/dev/kmsg",
        "/dev/null",
    ] {
        let entries =
            fs::read_dir(path).map(|found| if found.count() > 0 { "some" } else { "none" });
        let first = File::open(path).and_then(|mut it| it.read(&mut [0; 1]));
        // Opened, not written.
        let opened = OpenOptions::new().write(true).custom_flags(0o4000).open(path);
        let entries = entries.map_or_else(error, str::to_owned);
        let first = first.map_or_else(error, |count| count.to_string());
        let all = format!("entries {entries}, read {first}, write {}", done(opened));
        report.line(format!("access {path}"), all);
    }
    for folder in [
        "/",
        "/tmp",
        "/dev",
        "/dev/shm",
        "/dev/mqueue",
        "/sys",
        "/sys/fs/cgroup",
        "/proc",
        "/data",
        "/data/folder",
        "/run",
        "/etc",
        "/new",
        "/volume",
        "/proc/sys/kernel",
    ] {
        let path = Path::new(folder).join("probe-made");
        let made = fs::create_dir(&path);
        let removed = fs::remove_dir(&path).is_ok() == made.is_ok();
        report.line(format!("create in {folder}"), format!("{} {removed}", done(made)));
    }
    devices(report);
    calls(report);
}

/// Makes device nodes and opens them: the device filter of the cgroup decides on both.
fn devices(report: &mut Report) {
    const CHARACTER: u32 = 0o020_000;
    const BLOCK: u32 = 0o060_000;
    for (kind, major, minor) in [
        (CHARACTER, 1, 3),
        (CHARACTER, 1, 5),
        (CHARACTER, 1, 7),
        (CHARACTER, 1, 11),
        (CHARACTER, 5, 0),
        (CHARACTER, 5, 2),
        (CHARACTER, 10, 200),
        (CHARACTER, 10, 229),
        (CHARACTER, 7, 1),
        (BLOCK, 7, 0),
        (BLOCK, 254, 0),
    ] {
        let path = "/tmp/probe-device";
        let name = CString::new(path).unwrap_or_default();
        // SAFETY: the path is a C string.
        let made = unsafe { mknod(name.as_ptr(), kind | 0o600, major << 8 | minor) };
        let made = done(last(made.into(), || ()));
        let open = |read: bool| {
            let mut options = OpenOptions::new();
            done(options.read(read).write(!read).custom_flags(0o4400).open(path))
        };
        let all = format!("node {made}, read {}, write {}", open(true), open(false));
        let _ = fs::remove_file(path);
        report.line(format!("device {kind:o} {major}:{minor}"), all);
    }
}

/// System calls that a seccomp profile may refuse, with arguments that change nothing.
fn calls(report: &mut Report) {
    const NONE: usize = 0;
    for (name, number) in [
        ("chmod", 90),
        ("mkdir", 83),
        ("getcwd", 79),
        ("unshare", 272),
        ("ptrace", 101),
        ("personality", 135),
        ("mount", 165),
        ("clone3", 435),
        ("faccessat2", 439),
        ("unknown", 1000),
    ] {
        // SAFETY: null pointers and zeros; personality(-1) and unshare(0) change nothing.
        let status = unsafe {
            match name {
                "personality" => syscall(number, 0xffff_ffff_usize),
                // No request has this number; 0 would be PTRACE_TRACEME.
                "ptrace" => syscall(number, usize::MAX, NONE, NONE, NONE),
                _ => syscall(number, NONE, NONE, NONE, NONE, NONE),
            }
        };
        report.line(format!("call {name}"), done(last(status, || ())));
    }
}
