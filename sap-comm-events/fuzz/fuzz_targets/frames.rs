//! Anything that a broker may say.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    sap_comm_events::fuzzing::frames(input);
});
