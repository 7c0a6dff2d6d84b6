#![no_main]

use kube_event_relay_fuzz as _;

libfuzzer_sys::fuzz_target!(|data: &[u8]| kube_event_relay::fuzzing::block(data));
