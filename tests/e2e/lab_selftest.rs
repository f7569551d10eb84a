//! The lab tests itself, without runvf: a restored guest is pristine, and files and errors come
//! through. `trial::lab_selftest` tests its traffic.

use std::time::{Duration, Instant};

use lab::{Lab, Result};

#[test]
fn a_restored_guest_is_pristine_and_has_the_right_time() -> Result<()> {
    for _ in 0..2 {
        let lab = Lab::restore()?;
        assert_eq!(lab.ok("cat /sys/class/net/pf*/device/sriov_numvfs")?.text(), "0\n0\n0");
        assert!(!lab.sh("test -e /root/left-behind")?.success());
        lab.ok("touch /root/left-behind; echo 1 > /sys/class/net/pf1/device/sriov_numvfs")?;
        let guest: u64 = lab.ok("date +%s")?.text().parse().unwrap();
        let host = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        assert!(host.abs_diff(guest) <= 60, "host {host}, guest {guest}");
    }
    Ok(())
}

#[test]
fn files_and_errors_come_through() -> Result<()> {
    let lab = Lab::restore()?;
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    lab.write("/var/tmp/a folder/file", bytes.clone())?;
    assert!(lab.pull("/var/tmp/a folder/file")? == bytes);
    lab.push(std::env::current_exe().unwrap(), "/opt/here/program")?;
    lab.ok("test -x /opt/here/program")?;

    let error = lab.ok("echo seen; false; echo unseen").unwrap_err().to_string();
    assert!(
        error.contains("stdout: seen")
            && error.contains("status: 1")
            && !error.contains("stdout: unseen"),
        "{error}"
    );
    let began = Instant::now();
    let error = lab.sh_within(Duration::from_secs(1), "sleep 60").unwrap_err().to_string();
    // The connection still works.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(error.contains("sleep 60: timed out after 1 s"), "{error}");
    let error = lab.sh("kill -9 $$").map(|output| output.status)?;
    assert_ne!(error, 0);
    Ok(())
}
