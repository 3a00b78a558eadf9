//! The redactor over bodies of JSON: see `redacting`.

#![no_main]

mod redacting;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| redacting::check("application/json", input));
