//! The settings of a pool: its own keys, and the defaults of its profile.

use super::capture::{Capture, Interrupts, Offloads};
use super::figure::Figure;
use super::schema::{Pool, Profile};
use crate::policy::transmit::Transmit;

impl Pool {
    /// The settings of the pool, with the defaults of its profile.
    pub(crate) fn capture(&self) -> Capture {
        let defaults = match self.profile {
            // One channel, because with several ones Zeek and Suricata see frames of a flow out of
            // order. A fixed moderation, because an adaptive one fills a ring in bursts.
            Profile::Sensor => Capture {
                channels: Figure::Number(1),
                rx_ring: Figure::Max,
                rx_usecs: Figure::Number(125),
                offloads: Offloads::Frames,
                interrupts: Interrupts::Cpuset,
            },
            Profile::Plain => Capture::KEEP,
        };
        Capture {
            channels: self.channels.unwrap_or(defaults.channels),
            rx_ring: self.rx_ring.unwrap_or(defaults.rx_ring),
            rx_usecs: self.rx_usecs.unwrap_or(defaults.rx_usecs),
            offloads: self.offloads.unwrap_or(defaults.offloads),
            interrupts: self.interrupts.unwrap_or(defaults.interrupts),
        }
    }

    /// What a container of the pool may do at most.
    pub(crate) fn transmit(&self) -> Transmit {
        let default = match self.profile {
            Profile::Sensor => Transmit::Drop,
            Profile::Plain => Transmit::Allow,
        };
        self.transmit.unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::policy::config::{Config, Placement};

    fn pool(keys: &str) -> Result<Pool, String> {
        let text = format!("[[pool]]\nname = \"a\"\npfs = [\"x\"]\n{keys}\n");
        let config = Config::parse(&text, Path::new("/c.toml")).map_err(|error| error.line())?;
        Ok(config.pools[0].clone())
    }

    #[test]
    fn a_sensor_has_one_channel_a_full_ring_and_does_not_send() {
        let sensor = pool("").unwrap();
        assert_eq!(sensor.transmit(), Transmit::Drop);
        let Capture { channels, rx_ring, rx_usecs, offloads, interrupts } = sensor.capture();
        assert_eq!(
            (channels, rx_ring, rx_usecs),
            (Figure::Number(1), Figure::Max, Figure::Number(125))
        );
        assert_eq!((offloads, interrupts), (Offloads::Frames, Interrupts::Cpuset));
        assert_eq!(sensor.placement, Placement::Spread);
    }

    #[test]
    fn a_plain_netdev_is_left_as_it_is_unless_a_key_says_otherwise() {
        let plain = pool("profile = \"plain\"\nrx_ring = 1024").unwrap();
        assert_eq!(plain.transmit(), Transmit::Allow);
        assert_eq!(plain.capture().rx_ring, Figure::Number(1024));
        assert_eq!(plain.capture().channels, Figure::Keep);
        assert_eq!(plain.capture().offloads, Offloads::Keep);
    }

    #[test]
    fn a_pool_sets_each_of_the_keys() {
        let keys = "channels = \"max\"\nrx_ring = \"keep\"\nrx_usecs = 0\noffloads = \"off\"\n\
            interrupts = \"keep\"\ntransmit = \"allow\"\nplacement = \"pack\"";
        let pool = pool(keys).unwrap();
        let expected = Capture {
            channels: Figure::Max,
            rx_ring: Figure::Keep,
            rx_usecs: Figure::Number(0),
            offloads: Offloads::Off,
            interrupts: Interrupts::Keep,
        };
        assert_eq!(pool.capture(), expected);
        assert_eq!((pool.transmit(), pool.placement), (Transmit::Allow, Placement::Pack));
    }

    #[test]
    fn a_figure_that_no_driver_has_is_refused_with_its_line() {
        for (keys, problem) in [
            ("channels = 0", "line 4: pool `a`: `channels` must be at least 1"),
            ("rx_ring = 0", "line 4: pool `a`: `rx_ring` must be at least 1"),
            ("rx_usecs = \"max\"", "line 4: pool `a`: `rx_usecs` must be a number or \"keep\""),
            ("channels = -1", "expected a number, \"max\" or \"keep\""),
            ("channels = \"all\"", "expected a number, \"max\" or \"keep\""),
            ("transmit = \"no\"", "unknown variant `no`"),
        ] {
            let line = pool(keys).unwrap_err();
            assert!(line.contains(problem), "{keys}: {line}");
        }
    }
}
