//! What is built once and cached, in four stages: the tools (QEMU itself), the guest's disk, the
//! sensors' root filesystems, and the snapshot of a booted guest that has the sensors in Docker and
//! Podman.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use wait_timeout::ChildExt;

use crate::build::provision;
use crate::cache::{Cache, Inputs};
use crate::command;
use crate::error::{Error, Result, at};
use crate::guest::lab::Lab;
use crate::qemu::hardware::{self, Memory, Parts};
use crate::qemu::machine;

/// The sensors of `bundles/` that the guest has as images `runvf/NAME` and as OCI bundles.
pub const SENSORS: [&str; 2] = ["tcpdump", "suricata"];

const BUILD: Duration = Duration::from_secs(10 * 60);

/// QEMU out of its own root, run with that root's libraries: neither a chroot nor the host's
/// version matters.
pub(crate) struct Tools {
    root: PathBuf,
}

impl Tools {
    pub(crate) fn qemu(&self) -> Command {
        let mut command = self.program("qemu-system-x86_64");
        for data in ["qemu", "seabios"] {
            command.arg("-L").arg(self.root.join("usr/share").join(data));
        }
        command.env("QEMU_MODULE_DIR", self.root.join("usr/lib/x86_64-linux-gnu/qemu"));
        command
    }

    /// A disk that holds only what is written from now on. `base` may be relative to the new disk's
    /// folder.
    pub(crate) fn overlay(&self, base: &Path, format: &str, disk: &Path) -> Result<()> {
        let mut command = self.program("qemu-img");
        command.args(["create", "-q", "-f", "qcow2", "-F", format, "-b"]).arg(base).arg(disk);
        let output = command::run(command, Vec::new(), Duration::from_secs(30), "qemu-img create")?;
        if output.status != 0 {
            let tail = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Error::Build {
                what: "qemu-img create".into(),
                log: disk.to_owned(),
                tail,
            });
        }
        Ok(())
    }

    fn program(&self, name: &str) -> Command {
        let libraries = self.root.join("usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(self.root.join("lib64/ld-linux-x86-64.so.2"));
        // What QEMU has translated is found by way of tables of tens of MiB. In huge pages that takes a tenth less of all its time.
        command.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
        // libpulse keeps a library of its own in a folder of its own.
        let path = format!("{0}:{0}/pulseaudio", libraries.display());
        command.args(["--library-path", &path]).arg(self.root.join("usr/bin").join(name));
        command
    }
}

/// Everything a restored guest is made of. All of it is read only.
pub(crate) struct Image {
    pub(crate) tools: Tools,
    guest: PathBuf,
    /// What was frozen: disk, memory, state.
    host: PathBuf,
}

impl Image {
    pub(crate) fn kernel(&self) -> PathBuf {
        self.guest.join("vmlinuz")
    }
    pub(crate) fn initrd(&self) -> PathBuf {
        self.guest.join("initrd.img")
    }
    pub(crate) fn key(&self) -> PathBuf {
        self.guest.join("key")
    }
    pub(crate) fn disk(&self) -> PathBuf {
        self.host.join("disk.qcow2")
    }
    pub(crate) fn memory(&self) -> PathBuf {
        self.host.join("memory")
    }
    pub(crate) fn state(&self) -> PathBuf {
        self.host.join("state")
    }

    fn seal(&self) -> Result<()> {
        [self.disk(), self.memory(), self.state()].iter().try_for_each(|file| seal(file))
    }
}

/// Makes sure that the image of these sources is in the cache, and returns its folder.
pub fn ensure() -> Result<PathBuf> {
    build(&Cache::open()?).map(|image| image.host)
}

pub(crate) fn build(cache: &Cache) -> Result<Image> {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/image");
    let bundles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundles");

    // Three that need nothing of each other; each is bound by downloads and by one core at a time.
    let (tools, guest, sensors) = thread::scope(|scope| {
        let tools = scope.spawn(|| unpack_tools(cache, &lab));
        let sensors = scope.spawn(|| build_sensors(cache, &bundles));
        let guest = build_guest(cache, &lab);
        (joined(tools), guest, joined(sensors))
    });
    let (tools, guest, sensors) = (Tools { root: tools?.join("root") }, guest?, sensors?);

    // The guest and the sensors enter by what they were built to: their folders' names carry their
    // inputs.
    let mut inputs = Inputs::default().path(&lab.join("provision.sh"))?;
    for folder in [&tools.root, &guest, &sensors] {
        inputs = inputs.bytes(folder.as_os_str().as_encoded_bytes());
    }
    for sensor in SENSORS {
        inputs = inputs.path(&bundles.join(sensor).join("Containerfile"))?;
        inputs = inputs.path(&bundles.join(sensor).join("config.json"))?;
    }
    for memory in [Memory::Written, Memory::CopyOnWrite] {
        let nowhere = Path::new("");
        let parts = Parts { kernel: nowhere, initrd: nowhere, disk: nowhere, memory: nowhere };
        inputs = inputs.bytes(hardware::arguments(&parts, memory).join(" ").as_bytes());
    }
    let host = cache.stage("host", inputs, |to| {
        let image = Image {
            tools: Tools { root: tools.root.clone() },
            guest: guest.clone(),
            host: to.to_owned(),
        };
        provision::host(cache, &image, &lab.join("provision.sh"), &bundles, &sensors)?;
        image.seal()
    })?;
    Ok(Image { tools, guest, host })
}

/// The guest of [`build`] with some `work` done in it once, so that not every test has to. `inputs` are what the work depends on.
pub(crate) fn build_with(
    cache: &Cache,
    stage: &str,
    inputs: Inputs,
    work: impl FnOnce(&Lab) -> Result<()>,
) -> Result<Image> {
    let plain = build(cache)?;
    let inputs = inputs.bytes(plain.host.as_os_str().as_encoded_bytes());
    let host = cache.stage(stage, inputs, |to| {
        let tools = Tools { root: plain.tools.root.clone() };
        let image = Image { tools, guest: plain.guest.clone(), host: to.to_owned() };
        provision::again(cache, &plain, &image, work)?;
        image.seal()
    })?;
    Ok(Image { host, ..plain })
}

fn joined<T>(handle: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn unpack_tools(cache: &Cache, lab: &Path) -> Result<PathBuf> {
    let script = lab.join("tools.sh");
    cache.stage("tools", Inputs::default().path(&script)?, |to| {
        step(cache, "unpacking QEMU", Command::new(&script).arg(to.join("root")))
    })
}

fn build_guest(cache: &Cache, lab: &Path) -> Result<PathBuf> {
    let script = lab.join("guest.sh");
    let inputs = Inputs::default().path(&script)?.path(&lab.join("guest"))?;
    cache.stage("guest", inputs, |to| {
        let key = to.join("key");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        step(cache, "making a key", &mut keygen)?;
        step(cache, "building the guest", Command::new(&script).arg(to).arg(to.join("key.pub")))
    })
}

fn build_sensors(cache: &Cache, bundles: &Path) -> Result<PathBuf> {
    cache.stage("sensors", sensor_inputs(bundles)?, |to| {
        SENSORS.iter().try_for_each(|sensor| {
            let tar = to.join(format!("{sensor}.tar"));
            let what = format!("building the {sensor} sensor");
            step(cache, &what, Command::new(bundles.join("rootfs.sh")).arg(sensor).arg(tar))
        })
    })
}

fn sensor_inputs(bundles: &Path) -> Result<Inputs> {
    let mut inputs =
        Inputs::default().path(&bundles.join("rootfs.sh"))?.path(&bundles.join("prune.sh"))?;
    for sensor in SENSORS {
        inputs = inputs
            .path(&bundles.join(sensor).join("packages"))?
            .path(&bundles.join(sensor).join("root"))?;
    }
    Ok(inputs)
}

/// Runs one builder with its output in a log, and says every few seconds that it is still at it.
fn step(cache: &Cache, what: &str, command: &mut Command) -> Result<()> {
    let log = cache.logs().join(format!("{}.log", what.replace(' ', "-")));
    let file = File::create(&log).map_err(at(&log))?;
    let stderr = file.try_clone().map_err(at(&log))?;
    let mut child =
        command.stdin(Stdio::null()).stdout(file).stderr(stderr).spawn().map_err(|source| {
            Error::Spawn { program: format!("{:?}", command.get_program()), source }
        })?;
    let started = Instant::now();
    loop {
        let ended = child.wait_timeout(Duration::from_secs(10)).map_err(at(&log))?;
        let seconds = started.elapsed().as_secs();
        match ended {
            Some(status) if status.success() => {
                eprintln!("lab: {what}: done in {seconds} s");
                return Ok(());
            }
            Some(_) => {
                return Err(Error::Build { what: what.into(), tail: machine::tail(&log), log });
            }
            None if started.elapsed() < BUILD => eprintln!("lab: {what}: {seconds} s …"),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::Timeout {
                    what: what.into(),
                    after: BUILD,
                    so_far: machine::tail(&log),
                });
            }
        }
    }
}

/// A file nobody may change any more: restored guests map it.
fn seal(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).map_err(at(path))
}
