//! `blockIO`: weights for the IO scheduler BFQ if the kernel has it, otherwise for the IO cost
//! model, and limits of devices.

use libcontainer::oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice, LinuxWeightDevice};

use super::super::conversion::io_weight;
use super::super::error::{LimitError, in_field};
use super::super::setting::Setting;

pub(super) fn settings(io: &LinuxBlockIo, bfq: bool) -> Result<Vec<Setting>, LimitError> {
    let mut settings = Vec::new();
    settings.extend(weight("blockIO.weight", "", io.weight(), bfq)?);
    for device in io.weight_device().iter().flatten() {
        settings.extend(device_weight(device, bfq)?);
    }
    let throttles = [
        ("blockIO.throttleReadBpsDevice", "rbps", io.throttle_read_bps_device()),
        ("blockIO.throttleWriteBpsDevice", "wbps", io.throttle_write_bps_device()),
        ("blockIO.throttleReadIOPSDevice", "riops", io.throttle_read_iops_device()),
        ("blockIO.throttleWriteIOPSDevice", "wiops", io.throttle_write_iops_device()),
    ];
    for (field, key, devices) in throttles {
        let devices = devices.iter().flatten();
        settings.extend(devices.map(|device| throttle(field, key, device)));
    }
    Ok(settings)
}

/// The kernel has no weight of one device without BFQ and without the IO cost model. runc then
/// ignores the weight of a device; here the write fails.
fn device_weight(device: &LinuxWeightDevice, bfq: bool) -> Result<Option<Setting>, LimitError> {
    let key = format!("{}:{} ", device.major(), device.minor());
    weight("blockIO.weightDevice", &key, device.weight(), bfq)
}

/// BFQ takes the weight of the spec. The IO cost model takes a converted one.
fn weight(
    field: &str,
    key: &str,
    weight: Option<u16>,
    bfq: bool,
) -> Result<Option<Setting>, LimitError> {
    let weight = weight.unwrap_or_default();
    let converted = in_field(field, io_weight(weight))?;
    Ok(converted.map(|converted| match bfq {
        true => Setting::new(field, "io.bfq.weight", format!("{key}{weight}")),
        false => Setting::new(field, "io.weight", format!("{key}{converted}")),
    }))
}

fn throttle(field: &str, key: &str, device: &LinuxThrottleDevice) -> Setting {
    let (major, minor, rate) = (device.major(), device.minor(), device.rate());
    Setting::new(field, "io.max", format!("{major}:{minor} {key}={rate}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(io: serde_json::Value, bfq: bool) -> Vec<String> {
        let settings = settings(&serde_json::from_value(io).unwrap(), bfq).unwrap();
        settings.iter().map(|setting| format!("{} {}", setting.file, setting.value)).collect()
    }

    #[test]
    fn a_weight_is_converted_unless_the_kernel_has_bfq() {
        let device = json!([{ "major": 8, "minor": 16, "weight": 10 }]);
        let io = json!({ "weight": 500, "weightDevice": device });
        assert_eq!(table(io.clone(), false), ["io.weight 4950", "io.weight 8:16 1"]);
        assert_eq!(table(io, true), ["io.bfq.weight 500", "io.bfq.weight 8:16 10"]);
        assert!(table(json!({ "weight": 0, "weightDevice": [] }), false).is_empty());
    }

    #[test]
    fn limits_of_devices_are_lines_of_io_max() {
        let device = |rate: u64| json!([{ "major": 8, "minor": 0, "rate": rate }]);
        let io = json!({
            "throttleReadBpsDevice": device(1), "throttleWriteBpsDevice": device(2),
            "throttleReadIOPSDevice": device(3), "throttleWriteIOPSDevice": device(4),
        });
        let lines = ["rbps=1", "wbps=2", "riops=3", "wiops=4"];
        let lines = lines.map(|limit| format!("io.max 8:0 {limit}"));
        assert_eq!(table(io, false), lines);
    }
}
