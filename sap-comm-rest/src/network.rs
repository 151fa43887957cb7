//! Networks in the notation of `10.0.0.0/8`.

use std::net::IpAddr;

use sap_comm_core::config::ConfigError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    bits: u128,
    prefix: u32,
}

impl Network {
    /// Reads the value of the option `field`; a bare address is a network of its own.
    pub(crate) fn parse_all(field: &str, texts: &[String]) -> Result<Vec<Self>, ConfigError> {
        let parse = |text: &String| {
            let reason = "must be an address or a network such as 10.0.0.0/8";
            Self::parse(text).ok_or_else(|| ConfigError::refused(field, format!("{text:?}"), reason))
        };
        texts.iter().map(parse).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().ok()?;
        let (width, offset) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let prefix = match prefix {
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok().filter(|n| *n <= width)?
            }
            Some(_) => return None,
            None => width,
        };
        Some(Self { bits: bits(address), prefix: prefix + offset })
    }

    /// Wider than any network of one owner that holds proxies.
    pub(crate) fn is_wide(&self) -> bool {
        let mapped = self.bits >> 32 == 0xffff;
        self.prefix < if mapped { 96 + 8 } else { 16 }
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
        (bits(address) ^ self.bits) & mask == 0
    }
}

/// IPv4 in its mapped form, so that one comparison serves both.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}
