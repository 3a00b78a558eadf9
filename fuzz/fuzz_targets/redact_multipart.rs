//! The redactor over forms in parts, with the boundary `b`: see `redacting`.

#![no_main]

mod redacting;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| redacting::check("multipart/form-data; boundary=b", input));
